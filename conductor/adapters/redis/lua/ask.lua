-- uses base rq chains steps breakers
-- The operator's word on one job: cancel it, fail it (to the dead letter), or requeue it (back to waiting, at
-- no cost). A running one is told at its next renewal; what was asked last is what becomes of it, however its
-- attempt ends.
--   ARGV     id, cancel | fail | requeue, cause, message
--   returns  the letter of the state it was in, or false
--   writes   conductor:stop_requests, review:ID, breakers, what `release`, `rest`, `unrest` and `bury` of steps.lua touch
local id, verb, cause, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job = job_of(id)
if not job then return false end
local letter = job.letter
if letter == 'r' then
  call('HSET', P .. 'stop_requests', id, verb .. '|' .. cause .. '|' .. message)
elseif letter == 'w' or letter == 'a' or (letter == 'v' and verb ~= 'requeue') then
  unrest(id, job)
  -- Taken back by the operator or given back: no worker has done anything for it yet.
  release(id, verb ~= 'requeue' and 'canceled' or nil)
  as_asked(id, job, verb, cause, message)
  ring()
elseif letter == 'x' and verb == 'cancel' then
  -- It is given up: who asks what is left to be put right hears of it no more.
  note_failure(id, cause, message)
  move(id, job, 'c')
end
return letter
