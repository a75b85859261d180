-- Closes a partition for good.
--
-- KEYS[1]  the partition's stream
-- Reply    OK
--
-- After the largest id there is the server itself refuses every XADD, whoever sends it. Atomic
-- because a stream that is not there yet has to be made first, and must not be appended to between.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], 'seal', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[1], 'seal')
end
return redis.call('XSETID', KEYS[1], '18446744073709551615-18446744073709551615')
