-- Says what came of attempts.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV     for each attempt: the task's id; its fence; 'd' for one that is done without a result, or
--          'x' and after that: kind (see `settle`), due time, reason, error, milliseconds and bytes
--          of a result (both '' for none)
-- Reply    a letter for each: see `settle`; 'L' where the task is not in those hands
--
-- Atomic because a task that has left .running and is nowhere else would be lost, and one whose
-- hands have changed between the look and the step would end twice.

local items, ids = {}, {}
local i = 1
while i <= #ARGV do
  local is_short = ARGV[i + 2] == 'd'
  items[#items + 1] = i
  ids[#ids + 1] = ARGV[i]
  i = i + (is_short and 3 or 9)
end

local values = call('HMGET', P .. '.running', unpack(ids))
local has_cancels = call('EXISTS', P .. '.cancel', P .. '.progress') > 0
local letters, ended, plain, seen = {}, {}, {}, {}
for n, at in ipairs(items) do
  local id, fence, value = ids[n], ARGV[at + 1], values[n]
  -- A task that is named twice ends once.
  if seen[id] or not value or string.sub(value, 2, #fence + 2) ~= fence .. US then
    letters[n] = 'L'
  else
    seen[id] = true
    ended[#ended + 1] = id
    letters[n] = value
  end
end
if #ended > 0 then
  call('HDEL', P .. '.running', unpack(ended))
end
for n, at in ipairs(items) do
  local value, id = letters[n], ids[n]
  if value ~= 'L' then
    local is_short = ARGV[at + 2] == 'd'
    if is_short and not has_cancels and string.sub(value, 1, 1) == 'p' then
      plain[#plain + 1] = id
      letters[n] = 'd'
    elseif is_short then
      letters[n] = settle(id, parse_running(value), 'd')
    else
      if ARGV[at + 7] ~= '' then
        call('SET', P .. '.result.' .. id, ARGV[at + 8], 'PX', ARGV[at + 7])
      end
      local kind, due = ARGV[at + 3], due_at(ARGV[at + 4])
      letters[n] = settle(id, parse_running(value), kind, due, ARGV[at + 5], ARGV[at + 6])
    end
  end
end
if #plain > 0 then
  call('HDEL', P .. '.tasks', unpack(plain))
  count('done', #plain)
end
if #ended > 0 and call('DEL', P .. '.starved') == 1 then
  woken = true
end
wake()
return table.concat(letters)
