-- How many tasks of a queue are where, and who works on it.
--
-- KEYS[1]  the beginning of the queue's keys
-- Reply    enqueued, done, cancelled, discarded, scheduled, ready, blocked, running, dead, unknown,
--          held, whether it is paused; then for each worker: its id, milliseconds until it is taken
--          for dead, how many tasks are in its hands
--
-- Atomic because a task that moves between two counts would be counted twice or not at all.

local reply = {}
for i, name in ipairs({ 'enqueued', 'done', 'cancelled', 'discarded' }) do
  reply[i] = tonumber(call('HGET', P .. '.counts', name) or 0)
end
local ready = 0
for prio = 0, 2 do
  for _, tenant in ipairs(call('LRANGE', P .. '.ring.' .. prio, 0, -1)) do
    ready = ready + call('ZCARD', ready_key(prio, tenant))
  end
end
reply[5] = call('ZCARD', P .. '.scheduled')
reply[6] = ready
reply[7] = call('HLEN', P .. '.blocked')
reply[8] = call('HLEN', P .. '.running')
reply[9] = call('ZCARD', P .. '.dead')
reply[10] = call('ZCARD', P .. '.unknown')
reply[11] = call('HLEN', P .. '.tasks')
reply[12] = call('EXISTS', P .. '.paused')

local held = {}
for _, value in ipairs(call('HVALS', P .. '.running')) do
  local worker = parse_running(value).worker
  held[worker] = (held[worker] or 0) + 1
end
local workers = call('ZRANGE', P .. '.workers', 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  reply[#reply + 1] = workers[i]
  reply[#reply + 1] = math.max(0, tonumber(workers[i + 1]) - now)
  reply[#reply + 1] = held[workers[i]] or 0
end
return reply
