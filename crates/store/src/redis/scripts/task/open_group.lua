-- Opens a group.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the group
-- ARGV[2]  its lifetime in milliseconds
-- ARGV[3]  the callback: id, newline, spec, newline, body
-- ARGV     the members
-- Reply    nothing
--
-- Atomic because a group with a callback and without members would be complete.

local callback, members = P .. '.callback.' .. ARGV[1], P .. '.members.' .. ARGV[1]
if call('EXISTS', callback) == 1 then
  return 0
end
for i = 4, #ARGV, 1000 do
  call('SADD', members, unpack(ARGV, i, math.min(#ARGV, i + 999)))
end
call('PEXPIRE', members, ARGV[2])
call('SET', callback, ARGV[3], 'PX', ARGV[2])
return 0
