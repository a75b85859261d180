-- Appends those of some entries whose request ids were not appended before.
--
-- KEYS[1]  the partition's stream
-- KEYS[2…] for each request id: a string, the id of the entry that was appended for it
-- ARGV[1]  how many milliseconds a request id is remembered
-- ARGV[2]  the most entries the stream may hold; empty for as many as there is room for
-- ARGV[3]  MAXLEN, about; 0 for none
-- then for each entry: the number of its request id's key, or 0; how many names and values follow;
-- and these
--
-- Reply: how many entries the stream holds, then for each entry its id; '=' and the first one's id
-- where it was appended before; nothing where there was no room.
--
-- Atomic because two appends of one request id, from two producers, must not both find it unknown.
-- A known id is remembered anew, which is also what lets the caller wait for replicas or the disk.
local held = redis.call('XLEN', KEYS[1])
local room_for, keep = tonumber(ARGV[2]), tonumber(ARGV[3])
local reply, at = {''}, 4
while ARGV[at] do
    local sent, parts = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 1])
    local known = sent and redis.call('GET', sent)
    if known then
        redis.call('PEXPIRE', sent, ARGV[1])
        reply[#reply + 1] = '=' .. known
    elseif room_for and held >= room_for then
        reply[#reply + 1] = ''
    else
        local command = {'XADD', KEYS[1]}
        if keep > 0 then
            command[3], command[4], command[5] = 'MAXLEN', '~', ARGV[3]
        end
        command[#command + 1] = '*'
        for part = at + 2, at + 1 + parts do
            command[#command + 1] = ARGV[part]
        end
        local id = redis.call(unpack(command))
        if sent then
            redis.call('SET', sent, id, 'PX', ARGV[1])
        end
        held = held + 1
        reply[#reply + 1] = id
    end
    at = at + 2 + parts
end
reply[1] = tostring(redis.call('XLEN', KEYS[1]))
return reply
