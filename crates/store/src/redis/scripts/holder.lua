-- Says who holds a lease, under which epoch and for how long.
--
-- KEYS[1]  lease: string, the owner's id, or whatever an ancestor's drainer wrote
-- KEYS[2]  epoch: string, the last epoch handed out
-- Reply    {value, epoch, milliseconds until it ends (-1: never)}; nil where nobody holds it
--
-- Atomic because the lease could end between the questions, and the answer would be of two
-- different leases.

local held = redis.call('MGET', KEYS[1], KEYS[2])
if not held[1] then
  return false
end
return {held[1], held[2] or '0', redis.call('PTTL', KEYS[1])}
