-- Pauses, resumes or forgets a schedule.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the schedule
-- ARGV[2]  1 (pause), 0 (resume) or - (forget)
-- Reply    1, or 0 where there is none
--
-- Atomic because a tick at this moment keeps the pause, or its own step.

local kept = call('HGET', P .. '.schedules', ARGV[1])
if not kept then
  return 0
end
if ARGV[2] == '-' then
  call('HDEL', P .. '.schedules', ARGV[1])
  call('HDEL', P .. '.definitions', ARGV[1])
else
  local last = split(kept)
  call('HSET', P .. '.schedules', ARGV[1], last[1] .. US .. last[2] .. US .. ARGV[2])
end
return 1
