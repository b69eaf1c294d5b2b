-- uses base
-- Which of some jobs wait for others.
--   ARGV[1]  msgpack {id, ..}
--   returns  msgpack {id, ..}
--   reads    conductor:waits_for:ID, waits_for_end:ID
local found = {}
for _, id in ipairs(cmsgpack.unpack(ARGV[1])) do
  if call('EXISTS', P .. 'waits_for:' .. id, P .. 'waits_for_end:' .. id) > 0 then found[#found + 1] = id end
end
return cmsgpack.pack(found)
