-- Appends an operation, and writes the state that it leads to.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  the state: a hash of the caller's fields, of `__id`, the id of the entry that led to it,
--          and of `__gone` where the thing was deleted
-- KEYS[3]  the partition's unsettled states: a sorted set of '<id> <name>' by the id's milliseconds
-- KEYS[4]  if given: a string, the id of the entry that was appended for the request id
-- ARGV[1]  the state's name, as it stands in KEYS[2]
-- ARGV[2]  what must be there before: the `__id` of a state, '-' for none, '' for whatever is there
-- ARGV[3]  how many milliseconds the request id is remembered; 0 without KEYS[4]
-- ARGV[4]  the most entries the stream may hold; '' for as many as there is room for
-- ARGV[5]  how many names and values of the state follow, or 'gone'
-- then these, and then the names and values of the entry
--
-- Reply: two texts: 'put' and the entry's id; 'known' and the first one's id where the request id was
-- put before; 'other' and the `__id` that is there ('' for none) where that was not expected; 'full'
-- and how many entries the stream holds.
--
-- Atomic because a reader must never find a state without its operation in the stream, nor the other
-- way round, and because of two writers the one whose operation is later must leave its state.
local known = KEYS[4] and redis.call('GET', KEYS[4])
if known then
    redis.call('PEXPIRE', KEYS[4], ARGV[3])
    return {'known', known}
end
local before = redis.call('HGET', KEYS[2], '__id')
if ARGV[2] ~= '' and ARGV[2] ~= (before or '-') then
    return {'other', before or ''}
end
local most = tonumber(ARGV[4])
if most then
    local held = redis.call('XLEN', KEYS[1])
    if held >= most then
        return {'full', tostring(held)}
    end
end
local parts = ARGV[5] == 'gone' and 0 or tonumber(ARGV[5])
local command = {'XADD', KEYS[1], '*', 'state', ARGV[1]}
for at = 6 + parts, #ARGV do
    command[#command + 1] = ARGV[at]
end
local id = redis.call(unpack(command))
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], '__id', id)
if ARGV[5] == 'gone' then
    redis.call('HSET', KEYS[2], '__gone', '1')
end
for at = 6, 5 + parts, 2 do
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
end
if before then
    redis.call('ZREM', KEYS[3], before .. ' ' .. ARGV[1])
end
redis.call('ZADD', KEYS[3], string.match(id, '^%d+'), id .. ' ' .. ARGV[1])
if KEYS[4] then
    redis.call('SET', KEYS[4], id, 'PX', ARGV[3])
end
return {'put', id}
