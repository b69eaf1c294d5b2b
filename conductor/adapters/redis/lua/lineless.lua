-- uses base
-- Which of some jobs have no manifest line.
--   ARGV[1]  msgpack {id, ..}
--   returns  msgpack {id, ..}
--   reads    conductor:jobs
local found = {}
for _, id in ipairs(cmsgpack.unpack(ARGV[1])) do
  if call('HEXISTS', P .. 'jobs', id) == 0 then found[#found + 1] = id end
end
return cmsgpack.pack(found)
