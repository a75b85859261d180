-- The structures of a queue, and the steps that every transition of a task is made of.
--
-- KEYS[1] is the beginning of all keys of the queue, which ends with its hash tag: the others are
-- made of it here, so that they are in its slot. KEYS[2] is .counts: while a Cluster hands the slot
-- over, the two make it refuse the script.
--
--   .tasks              hash     id -> record: priority (1 byte), enqueued at (13 digits), features,
--                                newline, body
--   .tried              hash     id -> attempts, lost, failed at, reason, error; of those that failed
--   .scheduled          zset     id, due
--   .ready.P[.TENANT]   zset     id, order
--   .ring.P             list     the tenants with ready tasks of priority P; '' for none
--   .blocked            hash     id -> 'o' and its due time (behind .order), 'l' and its order (.limited)
--   .order.KEY          list     ids of one ordering key; the first one is not behind another
--   .limited.KEY        zset     id, order; those that a limit of their limit key holds up
--   .limits             hash     limit key -> how many of it run
--   .throttled          zset     limit key, when its rate allows one more
--   .rate[.KEY]         string   tokens and when they were counted
--   .running            hash     id -> 'p' (plain and never tried) or 'f', then fence, worker, attempt,
--                                lost, order, taken at, priority, features
--   .workers            zset     worker, when it is taken for dead
--   .cancel             set      ids of running tasks that someone wants to be cancelled
--   .progress           hash     id -> what its worker has said last
--   .dead, .unknown     zset     id, since when
--   .unique             hash     key -> id
--   .unique.KEY         string   id; a unique key that is taken for a time
--   .once.KEY           string   id; an idempotency key
--   .counts             hash     enqueued, done, cancelled, discarded; the last order and fence
--   .wake               list     one element while a sleeping worker should look
--   .starved, .paused   string   a take was held up by the limit of the queue; nothing is taken
--
-- Features are none, or six texts: tenant, ordering key, limit key, unique span, unique key, 'p' for
-- a task that is parked when it is lost. Texts in a value have US (31) between them.

local P = KEYS[1]
local US = '\31'
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local woken = false

local function text(number)
  return string.format('%.0f', number)
end

local function split(joined)
  local parts, from = {}, 1
  while true do
    local at = string.find(joined, US, from, true)
    if not at then
      parts[#parts + 1] = string.sub(joined, from)
      return parts
    end
    parts[#parts + 1] = string.sub(joined, from, at - 1)
    from = at + 1
  end
end

-- What a record says of its task, but for the body.
local function parse_record(record)
  local f = split(string.sub(record, 15, string.find(record, '\n', 15, true) - 1))
  return { prio = string.sub(record, 1, 1), tenant = f[1], order_key = f[2] or '',
    limit_key = f[3] or '', span = f[4] or '', unique = f[5] or '', park = f[6] == 'p' }
end

local function parse_running(value)
  local f = split(string.sub(value, 2))
  return { fence = f[1], worker = f[2], attempt = f[3], lost = f[4], order = f[5], prio = f[7],
    tenant = f[8], order_key = f[9] or '', limit_key = f[10] or '', span = f[11] or '',
    unique = f[12] or '', park = f[13] == 'p' }
end

local function ready_key(prio, tenant)
  if tenant == '' then
    return P .. '.ready.' .. prio
  end
  return P .. '.ready.' .. prio .. '.' .. tenant
end

local function next_order()
  return call('HINCRBY', P .. '.counts', 'order', 1)
end

local function push_ready(task, id, order)
  local key = ready_key(task.prio, task.tenant)
  call('ZADD', key, order, id)
  if call('ZCARD', key) == 1 then
    call('RPUSH', P .. '.ring.' .. task.prio, task.tenant)
  end
  woken = true
end

local function leave_ready(task, id)
  local key = ready_key(task.prio, task.tenant)
  if call('ZREM', key, id) == 1 and call('ZCARD', key) == 0 then
    call('LREM', P .. '.ring.' .. task.prio, 1, task.tenant)
  end
end

-- To the ready ones, last or in the place that is given, or to the scheduled ones while it isn't due.
local function place(task, id, due, order)
  if due <= now then
    push_ready(task, id, order or next_order())
    return
  end
  call('ZADD', P .. '.scheduled', text(due), id)
  -- Those who sleep until the first one is due have to hear of an earlier one.
  if call('ZRANGE', P .. '.scheduled', 0, 0)[1] == id then
    woken = true
  end
end

-- To its place, or behind the others of its ordering key.
local function line_up(task, id, due, order)
  if task.order_key ~= '' and call('RPUSH', P .. '.order.' .. task.order_key, id) > 1 then
    call('HSET', P .. '.blocked', id, 'o' .. text(due))
    return
  end
  place(task, id, due, order)
end

-- When a time is that was asked for: '' for now, '+' and milliseconds from now, '=' and a Unix time.
local function due_at(spec)
  local number = tonumber(string.sub(spec, 2)) or 0
  if string.sub(spec, 1, 1) == '+' then
    return now + number
  end
  return number
end

-- Gives up the unique key of a task.
local function free_unique(task, id)
  if task.unique ~= '' and task.span ~= 't' and call('HGET', P .. '.unique', task.unique) == id then
    call('HDEL', P .. '.unique', task.unique)
  end
end

-- Gives up what a task holds that has come to an end: its unique key and its turn.
local function release(task, id)
  free_unique(task, id)
  if task.order_key == '' then
    return
  end
  local line = P .. '.order.' .. task.order_key
  local was_first = call('LINDEX', line, 0) == id
  call('LREM', line, 1, id)
  local first = was_first and call('LINDEX', line, 0)
  if first then
    local due = tonumber(string.sub(call('HGET', P .. '.blocked', first), 2))
    call('HDEL', P .. '.blocked', first)
    place(parse_record(call('HGET', P .. '.tasks', first)), first, due)
  end
end

-- Lets tasks that a limit of their key has held up be looked at again.
local function unblock_limited(key, count)
  local freed = call('ZPOPMIN', P .. '.limited.' .. key, count)
  for i = 1, #freed, 2 do
    local id = freed[i]
    call('HDEL', P .. '.blocked', id)
    push_ready(parse_record(call('HGET', P .. '.tasks', id)), id, freed[i + 1])
  end
end

local function remove(id)
  call('HDEL', P .. '.tasks', id)
  call('HDEL', P .. '.tried', id)
end

local function count(name, number)
  call('HINCRBY', P .. '.counts', name, number)
end

-- Enqueues a task of any kind. `spec` is its priority and features, RS (30), and its due time, the
-- milliseconds of its unique key, those of its idempotency key, and that key. Answers the id of the
-- task that is there before it, or nil.
local function enqueue(id, spec, body, order)
  local at = string.find(spec, '\30', 1, true)
  local features, f = string.sub(spec, 2, at - 1), split(string.sub(spec, at + 1))
  local record = string.sub(spec, 1, 1) .. text(now) .. features .. '\n'
  local task = parse_record(record)
  local once = f[4] ~= '' and P .. '.once.' .. f[4]
  local found = once and call('GET', once)
  if not found and call('HEXISTS', P .. '.tasks', id) == 1 then
    found = id
  end
  local timed = task.span == 't' and P .. '.unique.' .. task.unique
  if not found and timed then
    found = call('GET', timed)
  elseif not found and task.unique ~= '' then
    found = call('HGET', P .. '.unique', task.unique)
  end
  if found then
    return found
  end
  if once then
    call('SET', once, id, 'PX', f[3])
  end
  if timed then
    call('SET', timed, id, 'PX', f[2])
  elseif task.unique ~= '' then
    call('HSET', P .. '.unique', task.unique, id)
  end
  call('HSET', P .. '.tasks', id, record .. body)
  count('enqueued', 1)
  line_up(task, id, due_at(f[1]), order)
  return nil
end

-- Ends an attempt: `running` is the parsed value of a task that is no longer under .running.
-- `kind` is d (done), r (retry), x (dead), c (cancelled), u (unknown) or b (given back). Answers the
-- letter of the state that the task has now: those, s (scheduled), y (ready). A negative due time
-- gives a retried task its old place.
local function settle(id, running, kind, due, reason, message)
  if running.limit_key ~= '' then
    if call('HINCRBY', P .. '.limits', running.limit_key, -1) <= 0 then
      call('HDEL', P .. '.limits', running.limit_key)
    end
    -- Two for one: where the limit is higher than it was, as many as it allows run soon.
    unblock_limited(running.limit_key, 2)
  end
  call('HDEL', P .. '.progress', id)
  if call('SREM', P .. '.cancel', id) == 1 and (kind == 'r' or kind == 'b') then
    kind = 'c'
  end
  if kind == 'd' or kind == 'c' then
    count(kind == 'd' and 'done' or 'cancelled', 1)
    remove(id)
    release(running, id)
    return kind
  end
  if kind == 'b' then
    push_ready(running, id, running.order)
    return 'y'
  end
  call('HSET', P .. '.tried', id,
    table.concat({ running.attempt, running.lost, text(now), reason, message }, US))
  if kind == 'r' then
    if due < 0 then
      push_ready(running, id, running.order)
    else
      place(running, id, due)
    end
    return due > now and 's' or 'y'
  end
  call('ZADD', kind == 'x' and P .. '.dead' or P .. '.unknown', text(now), id)
  if kind == 'x' then
    release(running, id)
  end
  return kind
end

-- Cancels a task that has not begun. Answers c, or the letter of the state that it stays in, or '-'
-- where there is none.
local function cancel(id)
  if call('HEXISTS', P .. '.running', id) == 1 then
    call('SADD', P .. '.cancel', id)
    return 'g'
  end
  local record = call('HGET', P .. '.tasks', id)
  if not record then
    return '-'
  end
  if call('ZSCORE', P .. '.dead', id) then
    return 'x'
  end
  if call('ZSCORE', P .. '.unknown', id) then
    return 'u'
  end
  local task = parse_record(record)
  local blocked = call('HGET', P .. '.blocked', id)
  if blocked then
    call('HDEL', P .. '.blocked', id)
    if string.sub(blocked, 1, 1) == 'l' then
      call('ZREM', P .. '.limited.' .. task.limit_key, id)
    end
  elseif call('ZREM', P .. '.scheduled', id) == 0 then
    leave_ready(task, id)
  end
  count('cancelled', 1)
  remove(id)
  release(task, id)
  return 'c'
end

-- Wakes one of those who sleep, if there is a reason. One element is enough: whoever leaves work
-- behind puts it back.
local function wake()
  if woken and call('LLEN', P .. '.wake') == 0 then
    call('RPUSH', P .. '.wake', '1')
  end
end
