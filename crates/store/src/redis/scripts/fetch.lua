-- Reads as the owner of a partition within a group. Preceded by fence.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV[4]  how many entries at most
-- ARGV[5]  `>` for those never delivered, or the id after which to read pending ones
-- Reply    the entries, as XRANGE answers them; a pending entry that somebody has deleted has
--          nil for its fields; the error LEASELOST where the lease is not the caller's
--
-- Atomic because between the look at the lease and the read another worker could become the
-- owner, and both would be handed the same entries in different order.

-- Every owner reads under the same consumer name, as runnel's do, so that a new owner inherits
-- what is pending.
local function read()
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[3], '1', 'COUNT', ARGV[4],
                     'STREAMS', KEYS[1], ARGV[5])
end

local streams = read()
if streams and streams.err and string.find(streams.err, 'NOGROUP', 1, true) then
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[3], '0', 'MKSTREAM')
  streams = read()
end

if not streams then
  return {}
end
if streams.err then
  return streams
end
return streams[1][2]
