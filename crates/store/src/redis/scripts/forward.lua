-- Moves a partition's last id forward, and takes new entries with it. Preceded by fence.lua and
-- ids.lua.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- ARGV[4]  the id up to which the caller has settled everything
-- ARGV[5]  the id up to which the caller has looked at the entries
-- ARGV[6]  how many entries count as appended up to ARGV[4]
-- ARGV     from the seventh on, the ids of the entries up to ARGV[5] that are new, ascending
-- Reply    how many entries were appended again; the error LEASELOST where the lease is not the
--          caller's, TRYAGAIN where the stream ends before ARGV[5]
--
-- Atomic because an entry must be in the stream under its old id or under its new one, and one
-- that is appended in between would otherwise get an id that the caller takes for settled.

local through, seen = ARGV[4], ARGV[5]
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[3], '0', 'MKSTREAM')
end
local last = by_name(redis.call('XINFO', 'STREAM', KEYS[1]))['last-generated-id']
if id_before(last, seen) then
  return redis.error_reply('TRYAGAIN the stream has stepped back once more')
end

local again = {}
for i = 7, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
  again[#again + 1] = found[1]
end
if id_before(seen, through) then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. seen, through)) do
    again[#again + 1] = entry
  end
end
-- What came after a new entry must stay after it.
if #again > 0 then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. through, '+')) do
    again[#again + 1] = entry
  end
end

for _, entry in ipairs(again) do
  redis.call('XDEL', KEYS[1], entry[1])
end
if id_before(last, through) then
  redis.call('XSETID', KEYS[1], through)
end
for _, entry in ipairs(again) do
  redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
end

-- The count of what was ever appended goes on from what is settled.
local stream = by_name(redis.call('XINFO', 'STREAM', KEYS[1]))
local held = stream['length']
local settled_held = #redis.call('XRANGE', KEYS[1], '-', through)
local added = math.max(tonumber(ARGV[6]) + held - settled_held, held)
redis.call('XSETID', KEYS[1], stream['last-generated-id'],
           'ENTRIESADDED', string.format('%.0f', added),
           'MAXDELETEDID', stream['max-deleted-entry-id'])
return #again
