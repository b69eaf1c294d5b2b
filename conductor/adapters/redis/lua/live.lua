-- uses base
-- Reports that have not run out, a line of JSON each; nodes without one are forgotten.
--   reads    conductor:nodes, node:NODE
local found = {}
for _, node in ipairs(call('SMEMBERS', P .. 'nodes')) do
  local text = call('GET', P .. 'node:' .. node)
  if text then found[#found + 1] = text else call('SREM', P .. 'nodes', node) end
end
return table.concat(found, '\n')
