-- Gives a lease back, if it is still the caller's.
--
-- KEYS[1]  lease: string, the owner's id
-- KEYS[2]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- Reply    1 where it was given back, 0 where it was already lost
--
-- Atomic because between the look and the deletion the lease could end and go to another worker,
-- whose lease would then be deleted.

local held = redis.call('MGET', KEYS[1], KEYS[2])
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
return redis.call('DEL', KEYS[1])
