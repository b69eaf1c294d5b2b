-- uses base
-- Reports that have not run out, a line of JSON each; nodes without one are forgotten.
--   reads    conductor:nodes, node:NODE
local found, nodes, CHUNK = {}, call('SMEMBERS', P .. 'nodes'), 500
for first = 1, #nodes, CHUNK do
  local keys = {}
  for i = first, math.min(first + CHUNK - 1, #nodes) do keys[#keys + 1] = P .. 'node:' .. nodes[i] end
  for i, text in ipairs(call('MGET', unpack(keys))) do
    if text then found[#found + 1] = text else call('SREM', P .. 'nodes', nodes[first + i - 1]) end
  end
end
return table.concat(found, '\n')
