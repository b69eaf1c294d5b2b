-- uses base rq
-- What a worker has taken from its queue and not ended: started or not.
--   ARGV[1]  worker
--   returns  JSON array of Reservations
--   reads    conductor:reservations; prefetched:WORKER
local worker = ARGV[1]
local hand = P .. 'prefetched:' .. worker
local is_in_hand = {}
for _, entry in ipairs(call('LRANGE', hand, 0, -1)) do is_in_hand[entry] = true end
local found = {}
for _, text in ipairs(call('HVALS', P .. 'reservations')) do
  local held = cjson.decode(text)
  if held.worker == worker or is_in_hand[entry_of(held.job_id, held.attempt)] then found[#found + 1] = text end
end
return '[' .. table.concat(found, ',') .. ']'
