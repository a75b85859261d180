-- Looks which delayed messages are due.
--
-- KEYS[1]  the index: sorted set, "broker id" to milliseconds
-- KEYS[2]  the delayed messages: hash, id to bytes
-- ARGV[1]  how many at most
-- Reply    milliseconds until the next one is due, -1 where there is none, then for each that is
--          due its entry in the index and its bytes, in turn; empty bytes where they are gone
--
-- Nothing is changed. A script because the time is the server's.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local next = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local found = {-1}
if next[2] then
  -- A time that is no number of milliseconds, such as infinity, is as far away as can be said.
  found[1] = math.floor(math.min(tonumber(next[2]) - now, 2 ^ 52))
end
for _, entry in ipairs(entries) do
  local id = string.sub(entry, string.find(entry, ' ', 1, true) + 1)
  found[#found + 1] = entry
  found[#found + 1] = redis.call('HGET', KEYS[2], id) or ''
end
return found
