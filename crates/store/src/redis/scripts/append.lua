-- Appends several entries to one partition, in the given order.
--
-- KEYS[1]  the partition's stream
-- ARGV     for each entry: how many arguments it has, then its names and values in turn
-- Reply    the ids of the entries, in the same order
--
-- Atomic because of order: were the entries sent as commands of their own, a server that is busy
-- or out of memory for a moment could refuse one and take the next. Here the first write is
-- refused, and with it the whole batch, or none.

local ids = {}
local at = 1
while at <= #ARGV do
  local arguments = tonumber(ARGV[at])
  ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + arguments))
  at = at + arguments + 1
end
return ids
