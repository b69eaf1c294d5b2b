-- uses base rq chains steps breakers
-- A person turned down what a job made: in review -> dead, and so are those that come after it.
--   ARGV     id, body, cause, message
--   returns  1, or 0 where it does not wait for a verdict on that body
--   writes   conductor:redone: what that body made counts no more; review:ID, failures:ID, what `bury` of
--            steps.lua touches
local id, body, cause, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job = job_of(id)
if not job or not review.is_open(job) or job.accepted ~= body then return 0 end
call('HINCRBY', P .. 'failures:' .. id, cause, 1)
note_failure(id, cause, message)
bury(id, job, 'x')
ring()
return 1
