-- uses base rq steps
-- The operator's cancel: waiting or admitted -> cancelled; a running one is told at its next renewal.
--   ARGV     id
--   returns  the letter of the state it was in, or false
--   writes   conductor:cancels, what `release` and `bury` of steps.lua touch
local id = ARGV[1]
local job = job_of(id)
if not job then return false end
local letter = job.letter
if letter == 'r' then
  call('SADD', P .. 'cancels', id)
elseif letter == 'w' or letter == 'a' then
  unrest(id, job)
  release(id, 'canceled')
  note_failure(id, 'cancelled', 'by the operator')
  bury(id, job, 'c')
  ring()
end
return letter
