-- Deletes what every group of a partition has acknowledged. Preceded by fence.lua and ids.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV[4]  how many entries to keep at least
-- Reply    how many entries were deleted; the error LEASELOST where the lease is not the caller's
--
-- Atomic because a group's position could move back between the look at it and the deletion.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end

-- The first id that some group still needs.
local keep_from = nil
local own_group_exists = false
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = by_name(flat)
  local needs
  if group['pending'] > 0 then
    needs = redis.call('XPENDING', KEYS[1], group['name'], '-', '+', 1)[1][1]
  else
    -- The next id after the last one delivered. A sequence number too large for a double is not
    -- stepped, and that entry stays until the next trim.
    local ms, sequence = string.match(group['last-delivered-id'], '^(%d+)-(%d+)$')
    if #sequence <= 15 then
      sequence = string.format('%.0f', tonumber(sequence) + 1)
    end
    needs = ms .. '-' .. sequence
  end
  if not keep_from or id_before(needs, keep_from) then
    keep_from = needs
  end
  own_group_exists = own_group_exists or group['name'] == ARGV[3]
end

-- A group that is not there yet has acknowledged nothing: the owner's own must be.
if not own_group_exists then
  return 0
end

local keep = tonumber(ARGV[4])
if keep == 0 then
  return redis.call('XTRIM', KEYS[1], 'MINID', '=', keep_from)
end
local spare = redis.call('XLEN', KEYS[1]) - keep
if spare <= 0 then
  return 0
end
-- With a limit the server deletes whole blocks of entries only, and no more than the limit.
return redis.call('XTRIM', KEYS[1], 'MINID', '~', keep_from, 'LIMIT', string.format('%.0f', spare))
