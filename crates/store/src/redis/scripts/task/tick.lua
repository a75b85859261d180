-- Enqueues the task of a tick, if the tick is later than the schedule's last one.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the schedule
-- ARGV[2]  the tick, Unix time in milliseconds
-- ARGV[3]  1 where nothing is enqueued while the last tick's task has not ended
-- ARGV[4]  the task's id
-- ARGV[5]  its spec, see `enqueue`
-- ARGV[6]  its body
-- Reply    'enqueued', 'late', 'paused', 'unknown', or the id of the task that is there before it
--
-- Atomic because of all processes that try a tick, one must take it, with its task.

local kept = call('HGET', P .. '.schedules', ARGV[1])
if not kept then
  return 'unknown'
end
local last = split(kept)
if tonumber(ARGV[2]) <= tonumber(last[1]) then
  return 'late'
end
local function keep(task)
  call('HSET', P .. '.schedules', ARGV[1], ARGV[2] .. US .. task .. US .. last[3])
end
if last[3] == '1' then
  keep(last[2])
  return 'paused'
end
if ARGV[3] == '1' and last[2] ~= '' and call('HEXISTS', P .. '.tasks', last[2]) == 1
  and not call('ZSCORE', P .. '.dead', last[2]) then
  keep(last[2])
  return last[2]
end
local former = enqueue(ARGV[4], ARGV[5], ARGV[6])
keep(former and last[2] or ARGV[4])
wake()
return former or 'enqueued'
