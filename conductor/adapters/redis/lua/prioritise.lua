-- uses base rq chains steps
-- Waiting, dead, cancelled or in review: the job has another priority of its own, and goes as of that, or of a
-- higher one that is handed down to it. What it waits for is lifted, and lowered where only it had lifted it.
--   ARGV     id, priority
--   returns  the letter of the state it has, or nil; admitted, running and done are left as they are
--   writes   conductor:own_priority, state, class_ids, classes, class_backlog, and what `rest` and `unrest` of
--   steps.lua touch
local id, priority = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job then return false end
if job.letter == 'a' or job.letter == 'r' or job.letter == 'd' then return job.letter end
local before = priority_of(job.class)
reclassed(id, job, function()
  call('HDEL', P .. 'own_priority', id)
  local now = math.max(priority, lent_to(id) or priority)
  if now ~= priority then call('HSET', P .. 'own_priority', id, priority) end
  if now == before then return false end
  job.class = class_with(job.class, now)
  return true
end)
local now = priority_of(job.class)
if job.letter == 'w' or job.letter == 'v' then
  if now > before then lift_before(id, job.class) end
  if now < before then
    local others = {}
    each_wanted_by(id, function(other) others[#others + 1] = other end)
    take_back_priority(others)
  end
end
ring()
return job.letter
