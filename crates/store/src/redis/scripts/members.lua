-- A group's members as runnel writes them: {"<id>":{"joined_at":"…","partitions":[0,1]}}. A text
-- that is something else gives nil.
local function members_of(text)
  local readable, members = pcall(cjson.decode, text or '{}')
  if readable and type(members) == 'table' then
    return members
  end
end

-- cjson writes an empty list as `{}`, so the lists are written here; in one order, so that equal
-- members are equal texts.
local function text_of(members)
  local parts = {}
  for id in pairs(members) do
    parts[#parts + 1] = id
  end
  table.sort(parts)
  for i, id in ipairs(parts) do
    local partitions = {}
    for j, partition in ipairs(members[id].partitions or {}) do
      partitions[j] = string.format('%.0f', partition)
    end
    parts[i] = cjson.encode(id) .. ':{"joined_at":' .. cjson.encode(members[id].joined_at or '')
      .. ',"partitions":[' .. table.concat(partitions, ',') .. ']}'
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- Tells the group who has come or gone, where it has a stream for that.
local function announce(control, messages_max, reason, ids)
  if control and #ids > 0 then
    redis.call('XADD', control, 'MAXLEN', '~', messages_max, '*',
               'reason', reason, 'executor_ids', cjson.encode(ids))
  end
end

