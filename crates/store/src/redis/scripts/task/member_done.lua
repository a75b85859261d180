-- Tells a group that a member is done.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the group
-- ARGV[2]  the member
-- Reply    how many are left; -1 where this was the last one and the callback is enqueued; -2 where
--          there was no such group or it was complete
--
-- Atomic because the last one's step and the callback's enqueueing must both happen, once.

local callback, members = P .. '.callback.' .. ARGV[1], P .. '.members.' .. ARGV[1]
local kept = call('GET', callback)
if not kept or kept == '' then
  return -2
end
call('SREM', members, ARGV[2])
local left = call('SCARD', members)
if left > 0 then
  return left
end
-- Without a callback it is remembered as complete, for the rest of its lifetime.
call('SET', callback, '', 'KEEPTTL')
local id_end = string.find(kept, '\n', 1, true)
local spec_end = string.find(kept, '\n', id_end + 1, true)
enqueue(string.sub(kept, 1, id_end - 1), string.sub(kept, id_end + 1, spec_end - 1),
  string.sub(kept, spec_end + 1))
wake()
return -1
