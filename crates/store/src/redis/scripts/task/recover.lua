-- Takes tasks out of the hands of dead workers.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  how many workers may die with a task until it is dead
-- ARGV[2]  the most tasks
-- Reply    ids and letters of their states, in turn
--
-- Atomic because two workers that recover at once would return a task twice.

local gone = call('ZRANGEBYSCORE', P .. '.workers', '-inf', text(now))
if #gone == 0 then
  return {}
end
local dead = {}
for _, worker in ipairs(gone) do
  dead[worker] = true
end
local held, ids = {}, {}
local running = call('HGETALL', P .. '.running')
for i = 1, #running, 2 do
  local it = parse_running(running[i + 1])
  if dead[it.worker] then
    held[running[i]] = it
    ids[#ids + 1] = running[i]
  end
end
table.sort(ids)
local reply, left = {}, #ids > tonumber(ARGV[2])
for i = 1, math.min(#ids, tonumber(ARGV[2])) do
  local id = ids[i]
  local it = held[id]
  call('HDEL', P .. '.running', id)
  it.lost = text(tonumber(it.lost) + 1)
  local kind = 'r'
  if call('SISMEMBER', P .. '.cancel', id) == 1 then
    kind = 'c'
  elseif it.park then
    kind = 'u'
  elseif tonumber(it.lost) >= tonumber(ARGV[1]) then
    kind = 'x'
  end
  reply[#reply + 1] = id
  reply[#reply + 1] = settle(id, it, kind, -1, 'lost', 'worker ' .. it.worker .. ' has died')
end
if not left then
  call('ZREM', P .. '.workers', unpack(gone))
end
if call('DEL', P .. '.starved') == 1 then
  woken = true
end
wake()
return reply
