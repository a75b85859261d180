-- Says that a worker is alive, and asks who else is.
--
-- KEYS[1]  workers: sorted set, member = worker id, score = server time in milliseconds at which
--          it is taken for dead
-- ARGV[1]  the worker's id
-- ARGV[2]  milliseconds from now for which it is alive
-- Reply    the ids of all that are alive
--
-- Atomic because the dead are removed and the living listed by one reading of the clock, which is
-- the server's: the workers' own clocks need not agree.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
