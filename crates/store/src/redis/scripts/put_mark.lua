-- Writes a mark about a partition. Preceded by fence.lua where an owner writes it.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- KEYS[4]  marks: hash, name to bytes
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV[4]  how many marks there may be
-- ARGV[5]  the mark's name
-- ARGV[6]  its value; absent where it is to be cleared
-- Reply    a number; the error LEASELOST where the lease is not the caller's, MARKSFULL where
--          there are too many marks
--
-- Atomic because between the look at the lease and the write another worker could become the
-- owner and clear the mark, and this would bring it back.

if not ARGV[6] then
  return redis.call('HDEL', KEYS[4], ARGV[5])
end
if redis.call('HEXISTS', KEYS[4], ARGV[5]) == 0
    and redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[4]) then
  return redis.error_reply('MARKSFULL the partition has ' .. ARGV[4] .. ' marks already')
end
return redis.call('HSET', KEYS[4], ARGV[5], ARGV[6])
