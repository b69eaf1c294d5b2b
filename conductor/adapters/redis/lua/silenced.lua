-- uses base
-- Alert rules that nobody is told of, and until when: rule, ms, rule, ms, ...
--   reads    conductor:alerts_silenced
local found = {}
local rows = call('HGETALL', P .. 'alerts_silenced')
for i = 1, #rows, 2 do
  if tonumber(rows[i + 1]) > now_ms then
    found[#found + 1] = rows[i]
    found[#found + 1] = rows[i + 1]
  end
end
return found
