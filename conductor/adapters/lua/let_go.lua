-- uses base
-- Files that a node is to remove, their last readers being done; or: these are gone.
--   ARGV     node, how many at most, then paths that are gone
--   returns  JSON texts of `let_go:NODE`
--   writes   conductor:let_go:NODE, letting
local node, most = ARGV[1], tonumber(ARGV[2])
local key = P .. 'let_go:' .. node
for i = 3, #ARGV do
  if call('HDEL', key, ARGV[i]) == 1 then call('HDEL', P .. 'letting', ARGV[i]) end
end
if #ARGV > 2 then ring() end
if most == 0 then return {} end
local rows, found = call('HSCAN', key, '0', 'COUNT', most)[2], {}
for i = 2, #rows, 2 do found[#found + 1] = rows[i] end
return found
