-- The fence that opens the scripts of an owner. KEYS[1] is the partition's stream, KEYS[2] the
-- lease (string, the owner's id), KEYS[3] the epoch (string, a decimal number); ARGV[1] is the
-- caller's id, ARGV[2] the epoch of its lease, ARGV[3] the group.
local held = redis.call('MGET', KEYS[2], KEYS[3])
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return redis.error_reply('LEASELOST the lease is gone or another worker holds it')
end

