-- uses base
-- Where jobs are, of some ids: for who would put them and only asks (`dispatch --dry-run`), and for who takes
-- in receipts.
--   ARGV[1]  msgpack {id, ..}
--   returns  msgpack {id, LETTER, ..} of those it knows
--   reads    conductor:state
local ids, found = cmsgpack.unpack(ARGV[1]), {}
local CHUNK = 4000
for first = 1, #ids, CHUNK do
  local last = math.min(first + CHUNK - 1, #ids)
  for i, text in ipairs(call('HMGET', P .. 'state', unpack(ids, first, last))) do
    if text then
      found[#found + 1] = ids[first + i - 1]
      found[#found + 1] = string.sub(text, 1, 1)
    end
  end
end
return cmsgpack.pack(found)
