-- Puts messages into queues, as Dramatiq's producers do.
--
-- KEYS     list and hash of a queue, in turn
-- ARGV     for each message: the index of its list in KEYS, its id, its bytes
-- Reply    how many there were
--
-- Atomic because a consumer that found an id without its bytes would take it for done.

for i = 1, #ARGV, 3 do
  local list = tonumber(ARGV[i])
  redis.call('HSET', KEYS[list + 1], ARGV[i + 1], ARGV[i + 2])
  redis.call('RPUSH', KEYS[list], ARGV[i + 1])
end
return #ARGV / 3
