-- Takes the lease on a partition for a worker under a new epoch, if nobody holds it, or if the
-- worker itself does and shows that it knows the epoch.
--
-- KEYS[1]  lease: string, the owner's id, or whatever an ancestor's drainer wrote
-- KEYS[2]  epoch: string, the last epoch handed out; absent at first
-- ARGV[1]  the worker's id
-- ARGV[2]  milliseconds until the lease ends by itself
-- ARGV[3]  floor: an epoch that the caller knows to have been used
-- Reply    the new epoch as text; nil where somebody holds the lease
--
-- Atomic because two workers between the look at the lease and the step of the counter would
-- both own the partition, with the same epoch.

-- Lua counts in doubles. Fifteen digits are exact, and more than any partition will use.
local last = redis.call('GET', KEYS[2]) or '0'
if not string.match(last, '^%d+$') or #last > 15 then
  return redis.error_reply('CORRUPT ' .. KEYS[2] .. ' does not hold an epoch')
end

-- A call that was sent long ago and arrives only now has an older floor, and takes nothing away
-- from the owner that the same worker has since then.
local holder = redis.call('GET', KEYS[1])
if holder and (holder ~= ARGV[1] or tonumber(ARGV[3]) < tonumber(last)) then
  return false
end

local epoch = string.format('%.0f', math.max(tonumber(last), tonumber(ARGV[3])) + 1)
redis.call('SET', KEYS[2], epoch)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return epoch
