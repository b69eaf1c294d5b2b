-- uses base rq steps
-- dead or cancelled -> waiting, its failures forgotten (its attempts are not: their numbers stay unique).
-- Those who died with it come along. One that wants a dead job itself stays: the dead one is to be retried.
--   ARGV     id
--   returns  1 or 0
--   writes   conductor:state, count:B, fails:ID, what `rest` and `revive` of steps.lua touch
local id = ARGV[1]
local job = job_of(id)
if not job or (job.letter ~= 'x' and job.letter ~= 'c') or has_dead_wants(id) then return 0 end
call('DEL', P .. 'fails:' .. id)
move(id, job, 'w')
rest(id, job)
revive(id)
ring()
return 1
