-- Makes ready again what a worker was given and was never told of.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the worker
-- ARGV[2]  the largest fence that it knows of
-- Reply    how many tasks
--
-- Atomic because a task that has left .running and is nowhere else would be lost.

local known, back = tonumber(ARGV[2]), 0
local running = call('HGETALL', P .. '.running')
for i = 1, #running, 2 do
  local id, it = running[i], parse_running(running[i + 1])
  if it.worker == ARGV[1] and tonumber(it.fence) > known then
    call('HDEL', P .. '.running', id)
    settle(id, it, 'b')
    back = back + 1
  end
end
if back > 0 then
  if call('DEL', P .. '.starved') == 1 then
    woken = true
  end
  wake()
end
return back
