-- uses base rq chains steps
-- A node makes room: from now on these files are gone, the first ones that nobody needs, until they are so
-- many bytes. Or: these are removed.
--   ARGV     node, root, bytes wanted (0: none), how many at most, then paths that are removed, or will not
--            be
--   returns  JSON texts of `removing` that are this node's: also those it was told before and has not said
--            gone
--   writes   conductor:removable, removable_order:NODE:ROOT, removable_bytes, removing
local node, root, wanted, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 5, #ARGV do
  local text = call('HGET', P .. 'removing', ARGV[i])
  if text and cjson.decode(text).node == node then call('HDEL', P .. 'removing', ARGV[i]) end
  call('HDEL', P .. 'removing', node .. '|' .. ARGV[i])
end
if #ARGV > 4 then ring() end

local key, taken = P .. 'removable_order:' .. node .. ':' .. root, 0
while wanted > 0 and taken < most do
  local path = call('ZRANGE', key, 0, 0)[1]
  if not path then break end
  local text = unmark_removable(path)
  call('HSET', P .. 'removing', path, text)
  wanted = wanted - tonumber(cjson.decode(text).bytes)
  taken = taken + 1
end

local rows, found = call('HVALS', P .. 'removing'), {}
for _, text in ipairs(rows) do
  if cjson.decode(text).node == node then found[#found + 1] = text end
end
return found
