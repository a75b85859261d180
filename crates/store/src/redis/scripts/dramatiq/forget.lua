-- Forgets a dead broker that has nothing in hand, unless it has come back to life.
--
-- KEYS[1]  heartbeats: sorted set, broker to milliseconds
-- ARGV[1]  the dead broker
-- ARGV[2]  after how many milliseconds of silence one is taken for dead
-- Reply    1 where it was forgotten
--
-- Atomic because between the look and the removal it may come back to life.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) <= now - ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
