-- Removes dead letters that are older than they are kept, a part of them.
--
-- KEYS[1]  dead letters: sorted set, id to milliseconds
-- KEYS[2]  their messages: hash, id to bytes
-- KEYS[3]  why they are dead: hash, id to text
-- ARGV[1]  milliseconds for which they are kept
-- ARGV[2]  how many at most
-- Reply    how many were removed
--
-- Atomic because a letter must have its message as long as it is there. Python's workers remove
-- letters as well, and leave the reasons: those without a letter go here.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
  redis.call('HDEL', KEYS[3], unpack(old))
end
if redis.call('HLEN', KEYS[3]) > redis.call('ZCARD', KEYS[1]) then
  for _, id in ipairs(redis.call('HRANDFIELD', KEYS[3], ARGV[2])) do
    if not redis.call('ZSCORE', KEYS[1], id) then
      redis.call('HDEL', KEYS[3], id)
    end
  end
end
return #old
