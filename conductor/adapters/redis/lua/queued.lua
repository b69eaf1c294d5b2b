-- uses base
-- Entries not yet taken by a worker, by queue.
--   returns  msgpack {queue, n, ..} of those that are not empty
--   reads    conductor:queues; rq:queue:Q
local found, queues, CHUNK = {}, call('SMEMBERS', P .. 'queues'), 64
for first = 1, #queues, CHUNK do
  local keys, last = {}, math.min(first + CHUNK - 1, #queues)
  for i = first, last do keys[#keys + 1] = R .. 'queue:' .. queues[i] end
  -- An empty list is none: of a fleet's queues most are so, and are asked together.
  local left = call('EXISTS', unpack(keys))
  for i = first, left == 0 and first - 1 or last do
    local n = call('LLEN', keys[i - first + 1])
    if n > 0 then
      found[#found + 1] = queues[i]
      found[#found + 1] = n
      left = left - 1
      if left == 0 then break end
    end
  end
end
return cmsgpack.pack(found)
