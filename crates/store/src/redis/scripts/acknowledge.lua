-- Acknowledges single entries. Preceded by fence.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV     from the fourth on, the ids
-- Reply    how many were pending; the error LEASELOST where the lease is not the caller's
--
-- Atomic because between the look at the lease and the acknowledgement another worker could
-- become the owner, and it would lose an entry that it is about to read.

local acknowledged = 0
-- `unpack` fills Lua's stack, which has room for about 8,000.
for first = 4, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  acknowledged = acknowledged
    + redis.call('XACK', KEYS[1], ARGV[3], unpack(ARGV, first, last))
end
return acknowledged
