-- uses base rq chains history steps shown
-- Every class with jobs that may go now, with its first few; due back-offs are moved in first.
--   ARGV[1]  as `shown` has it
--   returns  msgpack {"BORN FLOOR" (ms; of new numbers), {class number, waiting, {id, ..}, {state line, ..}},
--            ..}
--   reads    state, and what shown.lua names
promote_due()
local found = {(call('GET', P .. 'created_ms') or '0') .. ' ' .. number_floor()}
local ids = {}
for _, row in ipairs(shown(ARGV[1])) do
  local number, heads, are_all = unpack(row)
  found[#found + 1] = {number, are_all and #heads or call('ZCARD', P .. 'class:' .. number), heads, {}}
  for _, id in ipairs(heads) do ids[#ids + 1] = id end
end
-- Of all classes together: of a hundred of them a command each was a third of what this costs.
local AT_ONCE = 1000
local lines = {}
for first = 1, #ids, AT_ONCE do
  for _, line in ipairs(call('HMGET', P .. 'state', unpack(ids, first, math.min(first + AT_ONCE - 1, #ids)))) do
    lines[#lines + 1] = line
  end
end
local at = 1
for i = 2, #found do
  local row = found[i]
  for n = 1, #row[3] do
    row[4][n] = lines[at]
    at = at + 1
  end
end
return cmsgpack.pack(found)
