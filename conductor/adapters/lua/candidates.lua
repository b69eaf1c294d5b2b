-- uses base rq steps
-- Every class with jobs that may go now, with its first few; due back-offs are moved in first.
--   ARGV[1]  heads per class
--   ARGV[2]  msgpack array of backlogs; empty: all
--   returns  msgpack {born, {class number, waiting, {id, attempts, since, ..}}, ..}
--   reads    conductor:ready, class:C, state, class_backlog; cost by the number of classes, not of jobs
promote_due()
local last = tonumber(ARGV[1]) - 1
local wanted, is_filtered = {}, false
for _, backlog in ipairs(cmsgpack.unpack(ARGV[2])) do
  wanted[backlog] = true
  is_filtered = true
end
local found = {call('GET', P .. 'born') or ''}
for _, number in ipairs(call('SMEMBERS', P .. 'ready')) do
  if not is_filtered or wanted[call('HGET', P .. 'class_backlog', number)] then
    local key = P .. 'class:' .. number
    local heads = {}
    for _, id in ipairs(call('ZRANGE', key, 0, last)) do
      local job = job_of(id)
      heads[#heads + 1] = id
      heads[#heads + 1] = job.attempts
      heads[#heads + 1] = job.since
    end
    found[#found + 1] = {number, call('ZCARD', key), heads}
  end
end
return cmsgpack.pack(found)
