-- Enqueues tasks.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV     for each task: its id; its priority alone (a plain task) or all of `enqueue`'s spec; its
--          body
-- Reply    the index (from 0) and the former task's id of each duplicate
--
-- Atomic because a task that is recorded and not yet ready would be lost with the process. Plain
-- tasks go in few commands for all of them.

local ids = {}
for i = 1, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
end
local known = call('HMGET', P .. '.tasks', unpack(ids))
local order = call('HINCRBY', P .. '.counts', 'order', #ids) - #ids
local records, ready, duplicates, seen = {}, {}, {}, {}
local stamp = text(now) .. '\n'
for n = 1, #ids do
  local id, spec = ids[n], ARGV[3 * n - 1]
  local former = (known[n] or seen[id]) and id
  if not former and #spec > 1 then
    former = enqueue(id, spec, ARGV[3 * n], order + n)
  elseif not former then
    records[#records + 1] = id
    records[#records + 1] = spec .. stamp .. ARGV[3 * n]
    local scores = ready[spec]
    if not scores then
      scores = {}
      ready[spec] = scores
    end
    scores[#scores + 1] = order + n
    scores[#scores + 1] = id
  end
  seen[id] = true
  if former then
    duplicates[#duplicates + 1] = n - 1
    duplicates[#duplicates + 1] = former
  end
end

if #records > 0 then
  call('HSET', P .. '.tasks', unpack(records))
  count('enqueued', #records / 2)
  woken = true
end
for prio, scores in pairs(ready) do
  local key = ready_key(prio, '')
  call('ZADD', key, unpack(scores))
  if call('ZCARD', key) == #scores / 2 then
    call('RPUSH', P .. '.ring.' .. prio, '')
  end
end
wake()
return duplicates
