-- Takes messages from the left end of a queue into the hands of a broker.
--
-- KEYS[1]  the queue: list of ids
-- KEYS[2]  its messages: hash, id to bytes
-- KEYS[3]  what the broker has in hand of the queue: set of ids
-- KEYS[4]  heartbeats: sorted set, broker to milliseconds
-- ARGV[1]  how many at most
-- ARGV[2]  the broker
-- Reply    ids and bytes in turn; an id whose bytes are gone was done by somebody, and is left out
--
-- Atomic because an id that is in no queue and in nobody's hands would never be found again. The
-- broker gives its sign of life in the same step, so that nobody's hands are a living broker's.

local now = redis.call('TIME')
redis.call('ZADD', KEYS[4], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2])
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then
  return {}
end
redis.call('SADD', KEYS[3], unpack(ids))
local bodies = redis.call('HMGET', KEYS[2], unpack(ids))
local found = {}
for i, id in ipairs(ids) do
  if bodies[i] then
    found[#found + 1] = id
    found[#found + 1] = bodies[i]
  else
    redis.call('SREM', KEYS[3], id)
  end
end
return found
