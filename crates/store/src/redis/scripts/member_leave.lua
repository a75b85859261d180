-- Says that a member has gone. Preceded by members.lua.
--
-- KEYS[1]  members: string, JSON
-- KEYS[2]  the member's own beat: string
-- KEYS[3]  control stream: fields reason and executor_ids; absent where the group has none
-- ARGV[1]  the member's id
-- ARGV[2]  how many messages the control stream keeps
-- Reply    OK; the error CORRUPT where KEYS[1] is not what member_beat.lua writes
--
-- Atomic because two members that change the text at once would lose one of the changes.

local members = members_of(redis.call('GET', KEYS[1]))
if not members then
  return redis.error_reply('CORRUPT ' .. KEYS[1] .. ' does not hold members')
end
members[ARGV[1]] = nil
if next(members) then
  redis.call('SET', KEYS[1], text_of(members))
else
  redis.call('DEL', KEYS[1])
end
redis.call('DEL', KEYS[2])
-- Also where it had gone before: it says that it has given something back since then.
announce(KEYS[3], ARGV[2], 'leave', {ARGV[1]})
return redis.status_reply('OK')
