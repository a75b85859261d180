-- Says that a member is alive, asks who else is, and forgets the dead. Preceded by members.lua.
--
-- KEYS[1]  members: string, JSON
-- KEYS[2]  the member's own beat: string, expires
-- KEYS[3]  control stream: fields reason and executor_ids; absent where the group has none
-- ARGV[1]  the member's id
-- ARGV[2]  milliseconds from now for which it is alive
-- ARGV[3]  the time it joined, if it joins now
-- ARGV[4]  what stands before an id in the key of its beat; these keys are in the slot of KEYS[1]
-- ARGV[5]  how many messages the control stream keeps
-- ARGV     from the sixth on, the partitions that the member holds
-- Reply    the ids of all that are alive; the error CORRUPT where KEYS[1] is not what is written
--          here
--
-- Atomic because two members that change the text at once would lose one of the changes, and a
-- death would be announced by each that sees it.

local before = redis.call('GET', KEYS[1])
local members = members_of(before)
if not members then
  return redis.error_reply('CORRUPT ' .. KEYS[1] .. ' does not hold members')
end
redis.call('SET', KEYS[2], 'beat', 'PX', ARGV[2])

local alive, dead = {}, {}
for id in pairs(members) do
  if redis.call('EXISTS', ARGV[4] .. id) == 1 then
    alive[#alive + 1] = id
  else
    dead[#dead + 1] = id
  end
end
for _, id in ipairs(dead) do
  members[id] = nil
end

local own = members[ARGV[1]]
if not own then
  own = {joined_at = ARGV[3]}
  members[ARGV[1]] = own
  alive[#alive + 1] = ARGV[1]
  announce(KEYS[3], ARGV[5], 'join', {ARGV[1]})
end
own.partitions = {}
for i = 6, #ARGV do
  own.partitions[i - 5] = tonumber(ARGV[i])
end
announce(KEYS[3], ARGV[5], 'dead', dead)

local after = text_of(members)
if after ~= before then
  redis.call('SET', KEYS[1], after)
end
return alive
