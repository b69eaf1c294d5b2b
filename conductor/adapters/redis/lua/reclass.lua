-- uses base rq chains steps
-- Waiting, dead, cancelled or in review: the job comes into another class of its backlog, and stays what it
-- is.
--   ARGV     id, class id, descriptor
--   returns  1, or 0 where it is in flight or done
--   writes   conductor:state, class_ids, classes, class_backlog, and what `rest` and `unrest` of steps.lua
--            touch
local id, class, descriptor = ARGV[1], ARGV[2], ARGV[3]
local job = job_of(id)
if not job or job.letter == 'a' or job.letter == 'r' or job.letter == 'd' then return 0 end
local is_waiting = job.letter == 'w'
local not_before = call('ZSCORE', P .. 'delayed', id)
if is_waiting then unrest(id, job) end
job.class = class_number(class, descriptor, backlog_of(job.class))
call('HSET', P .. 'state', id, state_line(job))
if is_waiting then rest(id, job, not_before and tonumber(not_before)) end
ring()
return 1
