-- Names the groups of a partition. Preceded by ids.lua.
--
-- KEYS[1]  the partition's stream
-- Reply    the names
--
-- Atomic because the server calls the question an error where there is no stream.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
local names = {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  names[#names + 1] = by_name(flat)['name']
end
return names
