-- uses base
-- Entries not yet taken by a worker, by queue.
--   returns  msgpack {queue, n, ..} of those that are not empty
--   reads    rq:queues, rq:queue:Q
local found = {}
for _, key in ipairs(call('SMEMBERS', 'rq:queues')) do
  local n = call('LLEN', key)
  if n > 0 then
    found[#found + 1] = string.sub(key, #'rq:queue:' + 1)
    found[#found + 1] = n
  end
end
return cmsgpack.pack(found)
