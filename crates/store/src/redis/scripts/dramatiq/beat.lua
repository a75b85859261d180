-- Gives a broker's sign of life, and asks who is taken for dead.
--
-- KEYS[1]  heartbeats: sorted set, broker to milliseconds
-- ARGV[1]  the broker
-- ARGV[2]  after how many milliseconds of silence one is taken for dead
-- ARGV[3]  how many of the dead are named at most
-- Reply    the dead
--
-- A script because the time is the server's.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2], 'LIMIT', 0, ARGV[3])
