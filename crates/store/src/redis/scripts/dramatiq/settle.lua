-- Ends a broker's work on one message: it is done, dead, or goes back; with all that follows from it.
--
-- KEYS[1]  the queue: list of ids
-- KEYS[2]  its messages: hash, id to bytes
-- KEYS[3]  what the broker has in hand of the queue: set of ids
-- KEYS[4]  dead letters: sorted set, id to milliseconds
-- KEYS[5]  their messages: hash, id to bytes
-- KEYS[6]  why they are dead: hash, id to text
-- KEYS[7]  the result: list of one; or KEYS[1] where there is none
-- KEYS[8]  the group's barrier: string, how many members it still waits for; or KEYS[1]
-- KEYS     from the ninth on, list and hash of a queue that gets messages, in turn
-- ARGV[1]  the message's id
-- ARGV[2]  done, dead or back
-- ARGV[3]  why it is dead; may be empty
-- ARGV[4]  its bytes as a dead letter; empty for those that it has
-- ARGV[5]  the result; empty where there is none
-- ARGV[6]  milliseconds for which the result is kept
-- ARGV[7]  milliseconds for which the barrier is kept; empty where there is none
-- ARGV[8]  how many of the messages that follow are always put into their queues
-- ARGV     from the ninth on, for each message that follows: the index of its list in KEYS, its id,
--          its bytes. Those after the first ARGV[8] are the group's, for when the barrier opens.
-- Reply    1, or 0 where the message was not in the broker's hands: then nothing was changed
--
-- Atomic because a message whose work has ended, and of which only a part of what follows has
-- happened, would lose the rest; and a broker that was taken for dead must change nothing.

if redis.call('SREM', KEYS[3], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] == 'back' then
  if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[1])
  end
  return 1
end

local function put(first, last)
  for i = 9 + first * 3, 8 + last * 3, 3 do
    local list = tonumber(ARGV[i])
    redis.call('HSET', KEYS[list + 1], ARGV[i + 1], ARGV[i + 2])
    redis.call('RPUSH', KEYS[list], ARGV[i + 1])
  end
end

if ARGV[2] == 'dead' then
  local body = ARGV[4]
  if body == '' then
    body = redis.call('HGET', KEYS[2], ARGV[1])
  end
  if body then
    local now = redis.call('TIME')
    redis.call('ZADD', KEYS[4], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
    redis.call('HSET', KEYS[5], ARGV[1], body)
    redis.call('HSET', KEYS[6], ARGV[1], ARGV[3])
  end
end
redis.call('HDEL', KEYS[2], ARGV[1])

if ARGV[5] ~= '' then
  redis.call('DEL', KEYS[7])
  redis.call('LPUSH', KEYS[7], ARGV[5])
  redis.call('PEXPIRE', KEYS[7], ARGV[6])
end
local always = tonumber(ARGV[8])
put(0, always)
if ARGV[7] ~= '' then
  -- Dramatiq's barrier stands at 1 when it has opened; ours goes to 0, so that it opens once.
  local waits = tonumber(redis.call('GET', KEYS[8]) or '1')
  if waits == 1 then
    put(always, (#ARGV - 8) / 3)
    redis.call('RPUSH', KEYS[8] .. '@events', 'x')
    redis.call('PEXPIRE', KEYS[8] .. '@events', ARGV[7])
  end
  redis.call('SET', KEYS[8], math.max(waits - 1, 0), 'PX', ARGV[7])
end
return 1
