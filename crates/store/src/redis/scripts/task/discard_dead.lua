-- Throws old dead letters away.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  their age in milliseconds
-- ARGV[2]  the most
-- Reply    how many
--
-- Atomic because one that is retried at this moment must not be thrown away.

local before = text(now - tonumber(ARGV[1]))
local old = call('ZRANGEBYSCORE', P .. '.dead', '-inf', before, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(old) do
  call('ZREM', P .. '.dead', id)
  remove(id)
end
if #old > 0 then
  count('discarded', #old)
end
return #old
