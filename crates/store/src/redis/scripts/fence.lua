-- The fence that opens the scripts of an owner. KEYS[1] is the partition's stream, KEYS[2] the
-- lease's key, ARGV[1] the value of the caller's lease, ARGV[2] the group.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return redis.error_reply('LEASELOST the lease is gone or another worker holds it')
end

