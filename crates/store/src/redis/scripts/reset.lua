-- Lets a group begin again at another position.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  lease: string, the owner's id
-- KEYS[3]  epoch: string, the last epoch handed out
-- ARGV[3]  the group
-- ARGV[4]  the id after which the group reads on, or `$` for the last one
-- Reply    OK
--
-- Atomic because the present owner could otherwise fetch from the new position, or acknowledge
-- and so bring back the old one, before its lease has ended.

redis.call('INCR', KEYS[3])
redis.call('DEL', KEYS[2])
-- A new group has nothing pending. Where there is no stream there is no group to be destroyed.
redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[3])
return redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[3], ARGV[4], 'MKSTREAM')
