-- uses base rq chains steps
-- Every class with jobs that may go now, with its first few; due back-offs are moved in first.
--   ARGV[1]  heads per class
--   ARGV[2]  msgpack array of backlogs; empty: all
--   returns  msgpack {born (ms), {class number, waiting, {id, ..}, {state line, ..}}, ..}
--   reads    conductor:ready, class:C, state, class_backlog; cost by the number of classes, not of jobs
promote_due()
local last = tonumber(ARGV[1]) - 1
local wanted, is_filtered = {}, false
for _, backlog in ipairs(cmsgpack.unpack(ARGV[2])) do
  wanted[backlog] = true
  is_filtered = true
end
local found = {call('GET', P .. 'born') or '0'}
for _, number in ipairs(call('SMEMBERS', P .. 'ready')) do
  if not is_filtered or wanted[call('HGET', P .. 'class_backlog', number)] then
    local key = P .. 'class:' .. number
    local heads = call('ZRANGE', key, 0, last)
    found[#found + 1] = {number, call('ZCARD', key), heads, call('HMGET', P .. 'state', unpack(heads))}
  end
end
return cmsgpack.pack(found)
