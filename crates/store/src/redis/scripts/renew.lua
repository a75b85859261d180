-- Lets a lease last longer, if it is still the caller's.
--
-- KEYS[1]  lease: string `<epoch>:<worker>`
-- ARGV[1]  the value of the caller's lease
-- ARGV[2]  milliseconds from now until it ends
-- Reply    1 where it was renewed, 0 where it is lost
--
-- Atomic because between the look and the renewal the lease could end and go to another worker,
-- whose lease would then be renewed for the wrong owner.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
