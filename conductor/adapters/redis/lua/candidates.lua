-- uses base rq chains history steps shown
-- Every class with jobs that may go now, with its first few; due back-offs are moved in first.
--   ARGV[1]  as `shown` has it
--   returns  msgpack {"BORN FLOOR" (ms; of new numbers), {class number, waiting, {id, ..}, {state line, ..}},
--            ..}
--   reads    state, and what shown.lua names
promote_due()
local found = {(call('GET', P .. 'created_ms') or '0') .. ' ' .. number_floor()}
for _, row in ipairs(shown(ARGV[1])) do
  local number, heads = unpack(row)
  found[#found + 1] = {number, call('ZCARD', P .. 'class:' .. number), heads, call('HMGET', P .. 'state', unpack(heads))}
end
return cmsgpack.pack(found)
