-- Gives a sign of life of a worker.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the worker
-- ARGV[2]  milliseconds until it is taken for dead
-- Reply    the ids of tasks in its hands that someone wants to be cancelled
--
-- Atomic because a beat that comes while its worker is being recovered comes before or after it.

call('ZADD', P .. '.workers', text(now + tonumber(ARGV[2])), ARGV[1])
local wanted = call('SMEMBERS', P .. '.cancel')
local mine = {}
for _, id in ipairs(wanted) do
  local value = call('HGET', P .. '.running', id)
  if value and parse_running(value).worker == ARGV[1] then
    mine[#mine + 1] = id
  end
end
return mine
