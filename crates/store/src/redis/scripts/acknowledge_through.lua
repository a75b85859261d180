-- Moves a group's position, for a reader that keeps its own. Preceded by fence.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV[4]  the id up to which everything is done
-- Reply    OK; the error LEASELOST where the lease is not the caller's
--
-- Atomic because between the look at the lease and the move another worker could become the
-- owner and move the position further, and this would move it back.

-- ENTRIESREAD is left out: how many entries lie before an id is not cheap to know, and the server
-- works it out by itself once everything up to the position has been trimmed.
local moved = redis.pcall('XGROUP', 'SETID', KEYS[1], ARGV[3], ARGV[4])
if moved.err then
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[3], ARGV[4], 'MKSTREAM')
  return redis.status_reply('OK')
end

-- Such a reader has nothing pending, unless the group was read in the other way before.
while true do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[3], '-', '+', 1000)
  if #pending == 0 then
    return redis.status_reply('OK')
  end
  local ids = {}
  for i, entry in ipairs(pending) do
    ids[i] = entry[1]
  end
  redis.call('XACK', KEYS[1], ARGV[3], unpack(ids))
end
