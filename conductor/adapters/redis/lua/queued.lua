-- uses base
-- Entries not yet taken by a worker, by queue.
--   returns  msgpack {queue, n, ..} of those that are not empty
--   reads    conductor:queues; rq:queue:Q
local found = {}
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  local n = call('LLEN', R .. 'queue:' .. queue)
  if n > 0 then
    found[#found + 1] = queue
    found[#found + 1] = n
  end
end
return cmsgpack.pack(found)
