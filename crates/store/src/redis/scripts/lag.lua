-- Says how far a group is in a partition. Preceded by ids.lua.
--
-- KEYS[1]  the partition's stream
-- ARGV[1]  the group
-- ARGV[2]  how many entries may be counted one by one
-- Reply    {appended, held, last id, delivered through, pending, undelivered, 1 where it is sealed}
--
-- Atomic because the numbers must be of one moment: an entry that is appended between two
-- questions would be counted as held and not as appended.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0, 0, '0-0', '0-0', 0, 0, 0}
end

local stream = by_name(redis.call('XINFO', 'STREAM', KEYS[1]))
local held = stream['length']
local last_id = stream['last-generated-id']
local sealed = last_id == '18446744073709551615-18446744073709551615' and 1 or 0
if sealed == 1 then
  -- The id that closes it is no entry's.
  local last_entry = stream['last-entry']
  last_id = last_entry and last_entry[1] or '0-0'
end

local group = nil
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local candidate = by_name(flat)
  if candidate['name'] == ARGV[1] then
    group = candidate
  end
end
if not group then
  return {stream['entries-added'], held, last_id, '0-0', 0, held, sealed}
end

local delivered = group['last-delivered-id']
if sealed == 1 and held == 0 then
  last_id = delivered
end
local undelivered
if held == 0 or not id_before(delivered, last_id) then
  undelivered = 0
elseif id_before(delivered, stream['first-entry'][1]) then
  undelivered = held
elseif group['lag'] then
  -- The server's number counts entries that were trimmed away unread, too.
  undelivered = math.min(group['lag'], held)
else
  -- The server has lost count, as it does when a position was set by hand. What was delivered and
  -- not yet trimmed is usually little, so that is counted. Beyond the limit the answer is too
  -- large, never too small.
  local counted = 0
  local from = '-'
  while counted < tonumber(ARGV[2]) do
    local page = redis.call('XRANGE', KEYS[1], from, delivered, 'COUNT', 100)
    counted = counted + #page
    if #page < 100 then
      break
    end
    from = '(' .. page[#page][1]
  end
  undelivered = held - counted
end

return {stream['entries-added'], held, last_id, delivered, group['pending'], undelivered, sealed}
