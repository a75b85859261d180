-- Says who holds a lease and for how long.
--
-- KEYS[1]  lease: string `<epoch>:<worker>`, or whatever an ancestor's drainer wrote
-- Reply    {value, milliseconds until it ends (-1: never)}; nil where nobody holds it
--
-- Atomic because the lease could end between the two questions, and the answer would be of two
-- different leases.

local value = redis.call('GET', KEYS[1])
if not value then
  return false
end
return {value, redis.call('PTTL', KEYS[1])}
