-- uses base rq chains history steps
-- Those of some jobs that may go now, beside the first of their classes that `candidates` shows.
--   ARGV[1]  msgpack {id, ..}
--   returns  msgpack {"BORN FLOOR" (ms; of new numbers), {class number, id, state line}, ..}
--   reads    conductor:state, class:C
local found = {(call('GET', P .. 'created_ms') or '0') .. ' ' .. number_floor()}
for _, id in ipairs(cmsgpack.unpack(ARGV[1])) do
  local job = job_of(id)
  if job and job.letter == 'w' and call('ZSCORE', P .. 'class:' .. job.class, id) then
    found[#found + 1] = {job.class, id, state_line(job)}
  end
end
return cmsgpack.pack(found)
