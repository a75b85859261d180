-- Lets nothing be taken from a queue, or something again.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV[1]  1 or 0
-- Reply    nothing
--
-- Atomic because those who sleep hear of the end of a pause.

if ARGV[1] == '1' then
  call('SET', P .. '.paused', '1')
else
  call('DEL', P .. '.paused')
  woken = true
end
wake()
return 0
