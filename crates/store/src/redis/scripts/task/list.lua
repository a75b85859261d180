-- Tasks of one state, or those that are named.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  s (scheduled), y (ready), o (blocked), g (running), x (dead), u (unknown), '' for those
--          that are named
-- ARGV[2]  how many are skipped, or the first id
-- ARGV[3]  the most
-- Reply    for each: id, letter of the state, since when or when it is due, record, what is known of
--          attempts (nil for none), value under .running (nil), 1 where someone wants it to be
--          cancelled, progress (nil)
--
-- Atomic because a task that moves meanwhile would be shown in two states at once.

-- Where more are blocked than this, they come unsorted: the server answers nobody else meanwhile.
local SORTED_MAX = 10000

local state = ARGV[1]
local ids = {}
local function page_of(all)
  for i = ARGV[2] + 1, math.min(#all, ARGV[2] + ARGV[3]) do
    ids[#ids + 1] = all[i]
  end
end
local zsets = { s = '.scheduled', x = '.dead', u = '.unknown' }
if state == '' then
  ids[1] = ARGV[2]
elseif zsets[state] then
  ids = call('ZRANGE', P .. zsets[state], ARGV[2], ARGV[2] + ARGV[3] - 1)
elseif state == 'y' then
  local skip, left = tonumber(ARGV[2]), tonumber(ARGV[3])
  for prio = 0, 2 do
    for _, tenant in ipairs(call('LRANGE', P .. '.ring.' .. prio, 0, -1)) do
      local key = ready_key(prio, tenant)
      local some = left > 0 and call('ZRANGE', key, skip, skip + left - 1) or {}
      skip = math.max(0, skip - call('ZCARD', key))
      for _, id in ipairs(some) do
        ids[#ids + 1] = id
      end
      left = left - #some
    end
  end
else
  local key = P .. (state == 'o' and '.blocked' or '.running')
  local all = {}
  if call('HLEN', key) <= SORTED_MAX then
    all = call('HKEYS', key)
    table.sort(all)
  else
    local cursor = '0'
    repeat
      local some = call('HSCAN', key, cursor, 'COUNT', 1000)
      cursor = some[1]
      for i = 1, #some[2], 2 do
        all[#all + 1] = some[2][i]
      end
    until cursor == '0' or #all >= ARGV[2] + ARGV[3]
  end
  page_of(all)
end

local reply = {}
for _, id in ipairs(ids) do
  local record = call('HGET', P .. '.tasks', id)
  if record then
    local letter, at = 'y', '0'
    local running = call('HGET', P .. '.running', id)
    if running then
      letter, at = 'g', split(running)[6]
    elseif call('HEXISTS', P .. '.blocked', id) == 1 then
      letter = 'o'
    else
      for name, key in pairs(zsets) do
        local score = call('ZSCORE', P .. key, id)
        if score then
          letter, at = name, score
        end
      end
    end
    for _, part in ipairs({ id, letter, at, record, call('HGET', P .. '.tried', id), running,
      call('SISMEMBER', P .. '.cancel', id), call('HGET', P .. '.progress', id) }) do
      reply[#reply + 1] = part
    end
  end
end
return reply
