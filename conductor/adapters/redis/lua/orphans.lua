-- uses base rq
-- Running with a lease that ran out; or handed over, gone from its queue and not started for a while.
--   ARGV[1]  grace (ms)
--   returns  JSON array of Reservations
--   writes   conductor:off_queue_at, by which "for a while" is measured: one that waited an hour in its queue
--            and was taken this instant is no orphan
--   reads    conductor:leases, admitted_at, reservations; rq:queue:Q
local grace_ms = tonumber(ARGV[1])
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'leases', '-inf', whole(now_ms))) do
  found[#found + 1] = call('HGET', P .. 'reservations', id)
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'admitted_at', '-inf', whole(now_ms - grace_ms))) do
  local text = call('HGET', P .. 'reservations', id)
  local held = cjson.decode(text)
  if call('LPOS', R .. 'queue:' .. held.queue, entry_of(id, held.attempt)) then
    call('ZREM', P .. 'off_queue_at', id)
  else
    call('ZADD', P .. 'off_queue_at', 'NX', whole(now_ms), id)
    if tonumber(call('ZSCORE', P .. 'off_queue_at', id)) <= now_ms - grace_ms then found[#found + 1] = text end
  end
end
return '[' .. table.concat(found, ',') .. ']'
