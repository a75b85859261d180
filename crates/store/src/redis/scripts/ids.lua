-- Entry ids are compared as text: the server writes the two numbers without leading zeros, so a
-- longer one is larger. As numbers, the doubles of Lua would round those above 2^53.
local function number_before(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local function id_before(a, b)
  local a_ms, a_sequence = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_sequence = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then
    return number_before(a_ms, b_ms)
  end
  return number_before(a_sequence, b_sequence)
end

-- XINFO answers names and values in turn.
local function by_name(flat)
  local named = {}
  for i = 1, #flat, 2 do
    named[flat[i]] = flat[i + 1]
  end
  return named
end

