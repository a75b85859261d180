-- The schedules of a queue.
--
-- KEYS[1]  the beginning of the queue's keys
-- Reply    for each: name, definition, last tick, id of its last task or '', whether it is paused
--
-- Atomic because one that is removed meanwhile has no definition.

local reply = {}
local kept = call('HGETALL', P .. '.schedules')
for i = 1, #kept, 2 do
  local last = split(kept[i + 1])
  for _, part in ipairs({ kept[i], call('HGET', P .. '.definitions', kept[i]) or '', last[1],
    last[2], last[3] }) do
    reply[#reply + 1] = part
  end
end
return reply
