-- Puts entries aside that a group has pending. Preceded by fence.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- KEYS[4]  the parked stream: fields xid, key, reason, parked_at, then the entry's own
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV     from the fourth on, for each entry: its id, its key, the reason, how many arguments
--          its fields are, and these
-- Reply    how many were parked; the error LEASELOST where the lease is not the caller's
--
-- Atomic because an entry must be pending or parked: between the two another owner would miss it
-- or meet it twice.

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local parked = 0
local at = 4
while at <= #ARGV do
  local id, fields = ARGV[at], tonumber(ARGV[at + 3])
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[3], id, id, 1)
  if pending.err and not string.find(pending.err, 'NOGROUP', 1, true) then
    return pending
  end
  if not pending.err and #pending > 0 then
    redis.call('XADD', KEYS[4], '*', 'xid', id, 'key', ARGV[at + 1], 'reason', ARGV[at + 2],
               'parked_at', now, unpack(ARGV, at + 4, at + 3 + fields))
    redis.call('XACK', KEYS[1], ARGV[3], id)
    parked = parked + 1
  end
  at = at + 4 + fields
end
return parked
