-- Declares a schedule.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the most schedules
-- ARGV     for each: its name, its definition
-- Reply    1, or 0 where there would be too many, and then none was declared
--
-- .schedules     hash  name -> last tick, id of its last task or '', whether it is paused
-- .definitions   hash  name -> what was declared
--
-- Atomic because ten processes that declare at once find one last tick.

local new = 0
for i = 2, #ARGV, 2 do
  if call('HEXISTS', P .. '.schedules', ARGV[i]) == 0 then
    new = new + 1
  end
end
if new > 0 and call('HLEN', P .. '.schedules') + new > tonumber(ARGV[1]) then
  return 0
end
for i = 2, #ARGV, 2 do
  call('HSETNX', P .. '.schedules', ARGV[i], text(now) .. US .. US .. '0')
  call('HSET', P .. '.definitions', ARGV[i], ARGV[i + 1])
end
return 1
