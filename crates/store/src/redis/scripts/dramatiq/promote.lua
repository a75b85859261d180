-- Moves a delayed message that is due into its queue, under another id.
--
-- KEYS[1]  the index: sorted set, "broker id" to milliseconds
-- KEYS[2]  the delayed messages: hash, id to bytes
-- KEYS[3]  what the broker that filed it has in hand of the delayed queue: set of ids
-- KEYS[4]  the queue: list of ids
-- KEYS[5]  its messages: hash, id to bytes
-- ARGV[1]  its entry in the index
-- ARGV[2]  its id
-- ARGV[3]  its id in the queue; empty where its bytes are gone
-- ARGV[4]  its bytes there
-- Reply    1, or 0 where somebody else has it
--
-- Atomic because two that promote it at once would double it, and one that dies half-way would lose
-- or double it.

redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('SREM', KEYS[3], ARGV[2]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[2])
if ARGV[3] == '' then
  return 0
end
redis.call('HSET', KEYS[5], ARGV[3], ARGV[4])
redis.call('RPUSH', KEYS[4], ARGV[3])
return 1
