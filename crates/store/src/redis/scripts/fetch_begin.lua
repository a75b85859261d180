-- Opens a fenced read, before XREADGROUP and fetch_end.lua in one transaction.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- KEYS[4]  where a group's position is kept until the end of the transaction: hash of id, read
-- ARGV[1]  the caller's id
-- ARGV[2]  the epoch of its lease
-- ARGV[3]  the group
-- Reply    1 where the lease is the caller's; 0 where it isn't, and then the group's position is
--          at the end of the stream, so that the read brings nothing
--
-- Atomic because of the transaction: nobody sees the position that was moved. A script that read
-- for itself would have to turn every entry into Lua values and back, which costs several times
-- as much as the read.

local held = redis.call('MGET', KEYS[2], KEYS[3])
if held[1] == ARGV[1] and held[2] == ARGV[2] then
  return 1
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  return 0
end
for _, group in ipairs(groups) do
  local fact = {}
  for at = 1, #group, 2 do
    fact[group[at]] = group[at + 1]
  end
  if fact['name'] == ARGV[3] then
    redis.call('HSET', KEYS[4], 'id', fact['last-delivered-id'],
               'read', fact['entries-read'] or '-1')
    redis.call('XGROUP', 'SETID', KEYS[1], ARGV[3], '$')
  end
end
return 0
