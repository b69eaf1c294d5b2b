-- uses base
-- Does a job wait out a back-off.
--   ARGV[1]  msgpack {backlog, ..}; none: whatever its backlog
--   returns  1 or 0
--   reads    conductor:delayed, state, class_backlog
local is_asked, backlogs = {}, cmsgpack.unpack(ARGV[1])
for _, backlog in ipairs(backlogs) do is_asked[backlog] = true end
local PIECE, first = 500, 0
while true do
  local ids = call('ZRANGE', P .. 'delayed', first, first + PIECE - 1)
  if #ids > 0 and #backlogs == 0 then return 1 end
  for _, id in ipairs(ids) do
    if is_asked[backlog_of(job_of(id).class)] then return 1 end
  end
  if #ids < PIECE then return 0 end
  first = first + PIECE
end
