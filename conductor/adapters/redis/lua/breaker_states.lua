-- uses base
-- What is known of every kind, and how many jobs of each backlog are in review.
--   returns  msgpack {{KIND@CODE, JSON, ..}, {backlog, n, ..}}
--   reads    conductor:breakers, backlogs, count:B
local review = {}
for _, backlog in ipairs(call('SMEMBERS', P .. 'backlogs')) do
  review[#review + 1] = backlog
  review[#review + 1] = tonumber(call('HGET', P .. 'count:' .. backlog, 'v') or '0')
end
return cmsgpack.pack({call('HGETALL', P .. 'breakers'), review})
