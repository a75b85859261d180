-- Does what a person has decided about dead or unknown tasks.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  r (retry), d (done), x (dead) or i (discard)
-- ARGV     the ids
-- Reply    a letter for each: y (ready), s (scheduled), o (blocked), d, x, i, or '-' where it was
--          neither dead nor unknown
--
-- Atomic because two people who decide at once would have a task run twice.

local decision = ARGV[1]
local letters = {}
local function resolve(id)
  local from = call('ZSCORE', P .. '.dead', id) and 'dead'
  from = from or (call('ZSCORE', P .. '.unknown', id) and 'unknown')
  if not from then
    return '-'
  end
  if from == 'dead' and decision == 'x' then
    return 'x'
  end
  local task = parse_record(call('HGET', P .. '.tasks', id))
  call('ZREM', P .. '.' .. from, id)
  if decision == 'r' then
    call('HDEL', P .. '.tried', id)
    if from == 'unknown' then
      place(task, id, 0)
      return 'y'
    end
    -- A dead one has given up its unique key and its turn. Where another has the key now, it runs
    -- without.
    if task.unique ~= '' and task.span ~= 't' then
      call('HSETNX', P .. '.unique', task.unique, id)
    end
    line_up(task, id, 0)
    return call('HEXISTS', P .. '.blocked', id) == 1 and 'o' or 'y'
  end
  if decision == 'x' then
    call('ZADD', P .. '.dead', text(now), id)
  else
    remove(id)
    count(decision == 'd' and 'done' or 'discarded', 1)
  end
  if from == 'unknown' then
    release(task, id)
  end
  return decision
end

for i = 2, #ARGV do
  letters[i - 1] = resolve(ARGV[i])
end
wake()
return table.concat(letters)
