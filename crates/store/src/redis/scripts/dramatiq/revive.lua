-- Puts a dead letter back into its queue under another id, or discards it.
--
-- KEYS[1]  dead letters: sorted set, id to milliseconds
-- KEYS[2]  their messages: hash, id to bytes
-- KEYS[3]  why they are dead: hash, id to text
-- KEYS[4]  the queue: list of ids
-- KEYS[5]  its messages: hash, id to bytes
-- ARGV[1]  the letter's id
-- ARGV[2]  its id in the queue; empty where it is to be discarded
-- ARGV[3]  its bytes there
-- Reply    1, or 0 where there is no such letter
--
-- Atomic because a letter that is neither dead nor in its queue would be lost.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
  redis.call('RPUSH', KEYS[4], ARGV[2])
end
return 1
