-- Closes a fenced read, after fetch_begin.lua and XREADGROUP in one transaction.
--
-- KEYS     those of fetch_begin.lua
-- ARGV     those of fetch_begin.lua
-- Reply    1 where there was nothing to do; 0 where the group's position was put back
--
-- Atomic because of the transaction.

local kept = redis.call('HMGET', KEYS[4], 'id', 'read')
if not kept[1] then
  return 1
end
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[3], kept[1], 'ENTRIESREAD', kept[2])
redis.call('DEL', KEYS[4])
return 0
