-- Lists the members that are alive. Preceded by members.lua.
--
-- KEYS[1]  members: string, JSON
-- ARGV[1]  what stands before an id in the key of its beat; these keys are in the slot of KEYS[1]
-- Reply    the ids of all that are alive; the error CORRUPT where KEYS[1] is not what
--          member_beat.lua writes
--
-- Atomic because the members and their beats must be of one moment.

local members = members_of(redis.call('GET', KEYS[1]))
if not members then
  return redis.error_reply('CORRUPT ' .. KEYS[1] .. ' does not hold members')
end
local alive = {}
for id in pairs(members) do
  if redis.call('EXISTS', ARGV[1] .. id) == 1 then
    alive[#alive + 1] = id
  end
end
return alive
