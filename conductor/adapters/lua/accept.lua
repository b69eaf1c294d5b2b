-- uses base rq steps
-- An ok receipt, already durable, becomes the job's accepted one, whatever attempt it is of, unless one came first.
--   ARGV     id, attempt
--   reads    conductor:redone: a receipt that was taken back counts no more
--   returns  accepted (also when this very receipt was: the first answer was lost) | already | gone
--   writes   conductor:state, count:B, what `release`, `free` and `revive` of steps.lua touch
local id, attempt = ARGV[1], ARGV[2]
local job = job_of(id)
if not job then return 'gone' end
if job.letter == 'd' then return job.accepted == attempt and 'accepted' or 'already' end
if tonumber(attempt) <= tonumber(call('HGET', P .. 'redone', id) or '0') then return 'already' end
local was_over = job.letter == 'x' or job.letter == 'c'
unrest(id, job)
release(id, 'finished')
call('DEL', P .. 'wants:' .. id, P .. 'wants_end:' .. id)
job.accepted = attempt
move(id, job, 'd')
if was_over then revive(id) end
free(id)
ring()
return 'accepted'
