-- Lists the workers that are alive.
--
-- KEYS[1]  workers: sorted set, member = worker id, score = server time in milliseconds at which
--          it is taken for dead
-- Reply    the ids of all that are alive
--
-- Atomic because the list is read by the server's clock of the same moment.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')
