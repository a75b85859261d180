-- Files delayed messages that a broker has in hand under the time at which they are due.
--
-- KEYS[1]  what the broker has in hand of the delayed queue: set of ids
-- KEYS[2]  the index: sorted set, "broker id" to milliseconds
-- ARGV[1]  the broker
-- ARGV     from the second on, the time and the id of each, in turn
-- Reply    how many were filed
--
-- Atomic because an id that has gone back to its queue in between must not be filed.

local filed = 0
for i = 2, #ARGV, 2 do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[i], ARGV[1] .. ' ' .. ARGV[i + 1])
    filed = filed + 1
  end
end
return filed
