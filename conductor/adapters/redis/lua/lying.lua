-- uses base rq chains steps
-- Where files lie that are still to be read.
--   ARGV     paths
--   returns  JSON texts of `chain_made:N`, of those that lie anywhere
--   reads    conductor:chain_file, chain_merged, chain_made:N
local found = {}
for _, path in ipairs(ARGV) do
  local number = call('HGET', P .. 'chain_file', path)
  local text = number and call('HGET', P .. 'chain_made:' .. chain_number(number), path)
  if text then found[#found + 1] = text end
end
return found
