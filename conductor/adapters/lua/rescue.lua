-- uses base rq steps
-- An orphan goes back: admitted(attempt) or running(attempt) -> waiting, dead or cancelled.
--   ARGV     id, attempt, message, retry | dead, delay (ms)
--   returns  1, or 0 when it was not in that attempt any more
--   writes   what `lose` of steps.lua touches
local id, attempt = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job or (job.letter ~= 'a' and job.letter ~= 'r') or job.attempts ~= attempt then return 0 end
lose(id, job, 'worker_lost', ARGV[3], ARGV[4] == 'dead', tonumber(ARGV[5]))
return 1
