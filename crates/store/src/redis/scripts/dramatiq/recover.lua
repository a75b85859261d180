-- Gives back to a queue a part of what a dead broker has in hand of it.
--
-- KEYS[1]  heartbeats: sorted set, broker to milliseconds
-- KEYS[2]  the queue: list of ids
-- KEYS[3]  its messages: hash, id to bytes
-- KEYS[4]  what the dead broker has in hand of the queue: set of ids
-- ARGV[1]  the dead broker
-- ARGV[2]  after how many milliseconds of silence one is taken for dead
-- ARGV[3]  how many at most
-- Reply    how many were in its hands, of those that were looked at
--
-- Atomic because the broker may come back to life in between, and an id must be in the queue or in
-- hands.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) > now - ARGV[2] then
  return 0
end
local ids = redis.call('SPOP', KEYS[4], ARGV[3])
for _, id in ipairs(ids) do
  if redis.call('HEXISTS', KEYS[3], id) == 1 then
    redis.call('RPUSH', KEYS[2], id)
  end
end
return #ids
