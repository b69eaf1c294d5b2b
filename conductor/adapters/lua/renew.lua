-- uses base
-- A running attempt lives on, and says what it uses.
--   ARGV     id, attempt, worker, lease (ms), what to tell: JSON members with a leading comma, or ''
--   returns  ok | cancel (the operator cancelled it) | gone (rescued, or ended: stop)
--            | unknown (the ledger never heard of this attempt: Redis was emptied since; go on)
--   writes   conductor:leases, active
local id, attempt, worker, lease_ms, told = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local text = call('HGET', P .. 'active', id)
if not text then
  local job = job_of(id)
  local is_unheard = not job or (job.letter == 'w' and job.attempts < attempt)
  return is_unheard and 'unknown' or 'gone'
end
local held = cjson.decode(text)
if held.attempt ~= attempt or held.state ~= 'running' or held.worker ~= worker then return 'gone' end
call('ZADD', P .. 'leases', whole(now_ms + lease_ms), id)
if told ~= '' then
  -- The telling goes last. A quote inside a JSON string is always escaped, so this finds the member and no text.
  local at, stop = string.find(text, ',"started_at":[%d.]+')
  call('HSET', P .. 'active', id, string.sub(text, 1, stop) .. told .. '}')
end
if call('SISMEMBER', P .. 'cancels', id) == 1 then return 'cancel' end
return 'ok'
