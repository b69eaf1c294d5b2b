-- uses base rq steps
-- An attempt that nobody started goes back: admitted(attempt) -> waiting, at no cost to the job's budgets.
-- Its number is used up, so that an entry still lying in some worker's hand finds itself over.
--   ARGV     id, attempt
--   returns  1, or 0 when it was not in that attempt any more, or had been started
--   writes   what `release` and `rest` of steps.lua touch
local id, attempt = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job or job.letter ~= 'a' or job.attempts ~= attempt then return 0 end
release(id)
move(id, job, 'w')
rest(id, job)
ring()
return 1
