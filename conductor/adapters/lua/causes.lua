-- uses base
-- Why some dead jobs died.
--   ARGV[1]  msgpack {id, ..}
--   ARGV[2]  a backlog; '': all
--   returns  msgpack {cause or '', ..} of those of them that are dead now, in that backlog
--   reads    conductor:state, class_backlog, fails:ID
local backlog, found = ARGV[2], {}
for _, id in ipairs(cmsgpack.unpack(ARGV[1])) do
  local job = job_of(id)
  if job and job.letter == 'x' and (backlog == '' or call('HGET', P .. 'class_backlog', job.class) == backlog) then
    found[#found + 1] = call('HGET', P .. 'fails:' .. id, 'cause') or ''
  end
end
return cmsgpack.pack(found)
