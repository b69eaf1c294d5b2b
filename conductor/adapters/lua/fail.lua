-- uses base rq steps
-- running(attempt) -> waiting, dead or cancelled.
--   ARGV     id, attempt, cause, message, retry | dead, delay (ms), class id and descriptor it comes back into, or ''
--   returns  accepted | already (it is done) | gone (not in that attempt any more)
--   writes   what `lose` of steps.lua touches
local id, attempt = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job then return 'gone' end
if job.letter == 'd' then return 'already' end
if job.letter ~= 'r' or job.attempts ~= attempt then return 'gone' end
lose(id, job, ARGV[3], ARGV[4], ARGV[5] == 'dead', tonumber(ARGV[6]), ARGV[7], ARGV[8])
return 'accepted'
