-- Cancels some of the tasks that have not begun.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the most tasks
-- Reply    how many were cancelled
--
-- Atomic as `cancel` is.

local left = tonumber(ARGV[1])
local done = 0
local function cancel_all(ids)
  for _, id in ipairs(ids) do
    if cancel(id) == 'c' then
      done = done + 1
    end
  end
end

-- The blocked ones first: no cancelled task lets one of them through.
cancel_all(call('HRANDFIELD', P .. '.blocked', left))
if done < left then
  cancel_all(call('ZRANGE', P .. '.scheduled', 0, left - done - 1))
end
for prio = 0, 2 do
  for _, tenant in ipairs(call('LRANGE', P .. '.ring.' .. prio, 0, left)) do
    if done < left then
      cancel_all(call('ZRANGE', ready_key(prio, tenant), 0, left - done - 1))
    end
  end
end
return done
