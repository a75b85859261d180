-- Cancels tasks.
--
-- KEYS[1]  the beginning of the queue's keys
-- ARGV     the ids
-- Reply    a letter for each: see `cancel`
--
-- Atomic because a task that a worker takes at this moment is cancelled or running, never both.

local letters = {}
for i, id in ipairs(ARGV) do
  letters[i] = cancel(id)
end
wake()
return table.concat(letters)
