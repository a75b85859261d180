-- Says that a worker is gone.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the worker
-- Reply    nothing
--
-- Atomic because it stays in the list, as one that is dead, until what it held is recovered.

if call('ZSCORE', P .. '.workers', ARGV[1]) then
  call('ZADD', P .. '.workers', '0', ARGV[1])
end
return 0
