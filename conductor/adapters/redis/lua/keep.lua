-- uses base rq chains steps
-- Jobs that are about to be put will read these files: what nobody needed is needed again, before anything is
-- asked of it.
--   ARGV[1]  msgpack {path -> {id, ..}}
--   returns  what is being removed at this moment, by any node: {path, node, ..}; it cannot be had back
--   writes   conductor:readers:PATH, what `take_path_back` of chains.lua touches
for path, ids in pairs(cmsgpack.unpack(ARGV[1])) do
  for _, id in ipairs(ids) do call('SADD', P .. 'readers:' .. path, id) end
  if call('HEXISTS', P .. 'removable', path) == 1 then
    take_path_back(tostring(call('INCR', P .. 'chain_seq')), path)
  end
end
local rows, found = call('HGETALL', P .. 'removing'), {}
for i = 1, #rows, 2 do
  local fact = cjson.decode(rows[i + 1])
  -- Of a file that lies elsewhere only a copy goes.
  if fact.path == rows[i] then
    found[#found + 1] = fact.path
    found[#found + 1] = fact.node
  end
end
return found
