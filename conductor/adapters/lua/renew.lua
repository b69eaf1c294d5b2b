-- uses base
-- A running attempt lives on, and says what it uses.
--   ARGV     id, attempt, worker, lease (ms), what to tell: JSON members with a leading comma, or ''
--   returns  ok | cancel (the operator cancelled it) | gone (rescued, or ended: stop)
--            | unknown (the ledger never heard of this attempt: Redis was emptied since; go on)
--   writes   conductor:leases, active, told
-- What was told to stop is not renewed for ever: a worker that hangs is taken for lost when its time is up.
local STOP_MS = 10000
local id, attempt, worker, lease_ms, told = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local text = call('HGET', P .. 'active', id)
if not text then
  return is_unheard(job_of(id), attempt) and 'unknown' or 'gone'
end
local held = cjson.decode(text)
if held.attempt ~= attempt or held.state ~= 'running' or held.worker ~= worker then return 'gone' end
local is_asked = call('HEXISTS', P .. 'asked', id) == 1
local lease_until = whole(now_ms + lease_ms + (is_asked and STOP_MS or 0))
if not is_asked or call('ZADD', P .. 'told', 'NX', lease_until, id) == 1 then
  call('ZADD', P .. 'leases', lease_until, id)
end
if told ~= '' then
  -- The telling goes last. A quote inside a JSON string is always escaped, so this finds the member and no text.
  local at, stop = string.find(text, ',"started_at":[%d.]+')
  call('HSET', P .. 'active', id, string.sub(text, 1, stop) .. told .. '}')
end
return is_asked and 'cancel' or 'ok'
