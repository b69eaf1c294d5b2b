-- uses base rq chains steps
-- dead, cancelled or in review -> waiting, its failures forgotten (its attempts are not: their numbers stay
-- unique). Those who died with it, or went into review, come along. One that wants such a job itself stays:
-- that one is to be retried. One that waits for a person's verdict stays.
--   ARGV     id
--   returns  1 or 0
--   writes   conductor:state, count:B, failures:ID, what `rest` and `revive` of steps.lua touch
local id = ARGV[1]
local job = job_of(id)
local is_over = job and (job.letter == 'x' or job.letter == 'c' or review.is_aside(job))
if not is_over or is_blocked(id) then return 0 end
call('DEL', P .. 'failures:' .. id)
fit(id, job)
move(id, job, 'w')
rest(id, job)
lift_before(id, job.class)
revive(id)
ring()
return 1
