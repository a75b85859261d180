-- Notes how far an attempt is.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the task's id
-- ARGV[2]  the attempt's fence
-- ARGV[3]  what its worker says
-- Reply    1, or 0 where the task is not in those hands
--
-- Atomic because what is noted after the end of the attempt would stay for ever.

local value = call('HGET', P .. '.running', ARGV[1])
if not value or parse_running(value).fence ~= ARGV[2] then
  return 0
end
call('HSET', P .. '.progress', ARGV[1], ARGV[3])
return 1
