-- Lets states end whose operations are settled.
--
-- KEYS[1]  the partition's unsettled states: a sorted set of '<id> <name>'
-- KEYS[2…] the states, hashes with `__id`
-- ARGV[1]  how many milliseconds they are kept from now on
-- then for each state its id and its name
--
-- Reply: how many of them end by now.
--
-- Atomic because a newer state may be put meanwhile, and that one must not end.
local ended = 0
for at = 2, #KEYS do
    local id, name = ARGV[2 * at - 2], ARGV[2 * at - 1]
    if redis.call('HGET', KEYS[at], '__id') == id then
        redis.call('PEXPIRE', KEYS[at], ARGV[1])
        ended = ended + 1
    end
    redis.call('ZREM', KEYS[1], id .. ' ' .. name)
end
return ended
