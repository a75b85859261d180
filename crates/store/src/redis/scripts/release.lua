-- Gives a lease back, if it is still the caller's.
--
-- KEYS[1]  lease: string `<epoch>:<worker>`
-- ARGV[1]  the value of the caller's lease
-- Reply    1 where it was given back, 0 where it was already lost
--
-- Atomic because between the look and the deletion the lease could end and go to another worker,
-- whose lease would then be deleted.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
