-- Takes tasks for a worker, after moving to the ready ones those that are due.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  the worker
-- ARGV[2]  the most tasks
-- ARGV[3]  the most tasks of the queue that run at once, or ''
-- ARGV[4]  the same for each limit key
-- ARGV[5]  rate of the queue: tokens per millisecond, or ''
-- ARGV[6]  its burst
-- ARGV[7]  rate of each limit key, or ''
-- ARGV[8]  its burst
-- Reply    1 where there is more, milliseconds until there may be more or -1, the time, and for each
--          task: id, attempt, lost, fence, record
--
-- Atomic because a task between ready and running would be nobody's, and two workers that count
-- what runs at the same time would both find room.

-- How many due tasks, due limit keys, and ready ones beyond the room are looked at in one call.
local DUE_MAX, THROTTLED_MAX, SCANNED_MAX = 500, 64, 500

local worker, room = ARGV[1], tonumber(ARGV[2])
local running_max, per_key_max = tonumber(ARGV[3]), tonumber(ARGV[4])
local rate, burst = tonumber(ARGV[5]), tonumber(ARGV[6])
local key_rate, key_burst = tonumber(ARGV[7]), tonumber(ARGV[8])

local ends = call('ZSCORE', P .. '.workers', worker)
if not ends or tonumber(ends) <= now then
  return redis.error_reply('WORKERLOST ' .. worker)
end
if call('EXISTS', P .. '.paused') == 1 then
  call('DEL', P .. '.wake')
  return { 0, -1, now }
end

-- How many tokens there are now, and where they are kept.
local function tokens_of(key, per_ms, most)
  local kept = call('GET', key)
  if not kept then
    return most
  end
  local parts = split(kept)
  return math.min(most, tonumber(parts[1]) + (now - tonumber(parts[2])) * per_ms)
end

local function keep_tokens(key, tokens, per_ms, most)
  -- When it is full again it needs not be kept.
  local full_ms = math.max(1, math.ceil((most - tokens) / per_ms))
  call('SET', key, string.format('%.9f', tokens) .. US .. text(now), 'PX', text(full_ms))
end

local function move_due()
  local due = call('ZRANGEBYSCORE', P .. '.scheduled', '-inf', text(now), 'LIMIT', 0, DUE_MAX)
  if #due == 0 then
    return false
  end
  call('ZREM', P .. '.scheduled', unpack(due))
  local records = call('HMGET', P .. '.tasks', unpack(due))
  for i, id in ipairs(due) do
    if records[i] then
      push_ready(parse_record(records[i]), id, next_order())
    end
  end
  return #due == DUE_MAX
end

local function move_throttled()
  local keys = call('ZRANGEBYSCORE', P .. '.throttled', '-inf', text(now), 'LIMIT', 0, THROTTLED_MAX)
  for _, key in ipairs(keys) do
    call('ZREM', P .. '.throttled', key)
    local fit = room
    if key_rate then
      fit = math.floor(tokens_of(P .. '.rate.' .. key, key_rate, key_burst))
      fit = math.max(1, math.min(room, fit))
    end
    unblock_limited(key, fit)
    if call('EXISTS', P .. '.limited.' .. key) == 1 then
      call('ZADD', P .. '.throttled', text(now), key)
    end
  end
  return #keys == THROTTLED_MAX
end

-- Whether the limits of its key let a task begin; it is put aside if they don't.
local function passes(task, id, order)
  local key = task.limit_key
  if key == '' then
    return true
  end
  local at
  if per_key_max and tonumber(call('HGET', P .. '.limits', key) or 0) >= per_key_max then
    at = -1
  elseif key_rate then
    local tokens = tokens_of(P .. '.rate.' .. key, key_rate, key_burst)
    if tokens >= 1 then
      keep_tokens(P .. '.rate.' .. key, tokens - 1, key_rate, key_burst)
    else
      at = now + math.ceil((1 - tokens) / key_rate)
    end
  end
  if not at then
    call('HINCRBY', P .. '.limits', key, 1)
    return true
  end
  call('ZADD', P .. '.limited.' .. key, order, id)
  call('HSET', P .. '.blocked', id, 'l' .. order)
  if at >= 0 then
    call('ZADD', P .. '.throttled', text(at), key)
  else
    -- The end of one that runs lets it through, no time does.
    call('ZREM', P .. '.throttled', key)
  end
  return false
end

local has_more = move_due()
has_more = move_throttled() or has_more
local wanted, is_starved, tokens = room, false, nil
if running_max then
  local free = math.max(0, running_max - call('HLEN', P .. '.running'))
  is_starved = free < room
  room = math.min(room, free)
end
if rate then
  tokens = tokens_of(P .. '.rate', rate, burst)
  room = math.min(room, math.floor(tokens))
end

local taken, scanned = {}, 0
local scanned_max = room + SCANNED_MAX

-- Takes up to `share` tasks of the tenant that is first in a ring, which goes behind the others.
local function serve(ring, prio, share)
  local tenant = call('LPOP', ring)
  local key = ready_key(prio, tenant)
  local popped = call('ZPOPMIN', key, share)
  if #popped == 2 * share and call('ZCARD', key) > 0 then
    call('RPUSH', ring, tenant)
  end
  local ids = {}
  for i = 1, #popped, 2 do
    ids[#ids + 1] = popped[i]
  end
  scanned = scanned + #ids
  local records = call('HMGET', P .. '.tasks', unpack(ids))
  for i, id in ipairs(ids) do
    local record, order = records[i], popped[2 * i]
    local is_plain = record and string.sub(record, 15, 15) == '\n'
    local task = record and not is_plain and parse_record(record)
    if is_plain or (task and passes(task, id, order)) then
      taken[#taken + 1] = { id, record, order, is_plain, task }
    end
  end
end

for prio = 0, 2 do
  local ring = P .. '.ring.' .. prio
  local tenants = call('LLEN', ring)
  while tenants > 0 and #taken < room and scanned < scanned_max do
    local share = math.ceil((room - #taken) / tenants)
    for _ = 1, tenants do
      if #taken < room then
        serve(ring, prio, math.min(share, room - #taken))
      end
    end
    tenants = call('LLEN', ring)
  end
end

local reply = { 0, -1, now }
if #taken > 0 then
  local micros = time[1] * 1000000 + time[2]
  local fence = math.max(micros, tonumber(call('HGET', P .. '.counts', 'fence') or 0))
  call('HSET', P .. '.counts', 'fence', text(fence + #taken))
  local ids, tried = {}, {}
  for i, it in ipairs(taken) do
    ids[i] = it[1]
  end
  if call('EXISTS', P .. '.tried') == 1 then
    tried = call('HMGET', P .. '.tried', unpack(ids))
  end
  local running, stamp = {}, US .. text(now) .. US
  for i, it in ipairs(taken) do
    local id, record, is_plain, task = it[1], it[2], it[4], it[5]
    local attempt, lost = 1, 0
    if tried[i] then
      local parts = split(tried[i])
      attempt, lost = tonumber(parts[1]) + 1, tonumber(parts[2])
      is_plain = false
    end
    local token = text(fence + i)
    local features = US
    if task then
      local last = string.find(record, '\n', 15, true) - 1
      features = US .. string.sub(record, 15, last)
      if task.span == 'q' then
        free_unique(task, id)
      end
    end
    running[2 * i - 1] = id
    running[2 * i] = (is_plain and 'p' or 'f') .. token .. US .. worker .. US .. attempt .. US
      .. lost .. US .. it[3] .. stamp .. string.sub(record, 1, 1) .. features
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = id, attempt, lost
    reply[at + 4], reply[at + 5] = token, record
  end
  call('HSET', P .. '.running', unpack(running))
  if rate then
    keep_tokens(P .. '.rate', tokens - #taken, rate, burst)
  end
end

local has_ready = call('EXISTS', P .. '.ring.0', P .. '.ring.1', P .. '.ring.2') > 0
has_more = has_more or has_ready
local next_at
if room < wanted and #taken >= room then
  -- A limit of the queue holds up what is left.
  has_more = false
  if has_ready and is_starved then
    -- Whoever finishes one tells those who sleep.
    call('SET', P .. '.starved', '1')
  end
  if has_ready and tokens and tokens - #taken < 1 then
    next_at = now + math.ceil((1 - tokens + #taken) / rate)
  end
end
for _, name in ipairs({ '.scheduled', '.throttled' }) do
  local first = call('ZRANGE', P .. name, 0, 0, 'WITHSCORES')
  if first[2] and (not next_at or tonumber(first[2]) < next_at) then
    next_at = tonumber(first[2])
  end
end
if has_more then
  reply[1] = 1
  woken = true
  wake()
else
  call('DEL', P .. '.wake')
end
if next_at then
  reply[2] = math.max(0, next_at - now)
end
return reply
