-- Makes scheduled tasks due now.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV     the ids
-- Reply    how many were scheduled
--
-- Atomic because one that is cancelled at this moment must not come back.

local moved = 0
for _, id in ipairs(ARGV) do
  if call('ZREM', P .. '.scheduled', id) == 1 then
    place(parse_record(call('HGET', P .. '.tasks', id)), id, 0)
    moved = moved + 1
  end
end
wake()
return moved
