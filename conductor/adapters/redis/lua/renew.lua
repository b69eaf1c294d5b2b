-- uses base history
-- A worker says all that it holds: each of it lives on, and what it does not name it does not run.
--   ARGV[1]  msgpack {worker, lease (ms), the step (history.lua) of the last turn whose answer it has heard,
--            {{id, attempt, what to tell of it: JSON members with a leading comma, or ''}, ..}}
--   returns  {step, ok | cancel (the operator cancelled it) | gone (rescued, or ended: stop)
--            | unknown (the ledger forgot this attempt, or all: go on, and `adopt` it), ..: one for each}
--   writes   conductor:leases, reservations, stop_grace, heard:WORKER, workers, status:ID's and
--            has_status' expiry; what history.lua names
-- What was told to stop is not renewed for ever: a worker that hangs is taken for lost when its time is up.
local STOP_MS = 10000
local worker, lease_ms, seen, rows = unpack(cmsgpack.unpack(ARGV[1]))
witness(seen)
-- For who asks whether it still turns: forgotten when it has been silent for long.
call('SET', P .. 'heard:' .. worker, whole(now_ms), 'PX', math.max(120000, 4 * lease_ms))
-- Who stood still for a lease was struck off (settle.lua), and lives: its hand is looked into from now on.
call('SADD', P .. 'workers', worker)
local is_open = is_settled()

local function renewed(id, attempt, told)
  local text = call('HGET', P .. 'reservations', id)
  local held = text and cjson.decode(text)
  if not held or held.attempt ~= attempt or held.state ~= 'running' or held.worker ~= worker then
    return is_unheard(job_of(id), attempt) and 'unknown' or 'gone'
  end
  local is_asked = states.any('stop_requests') and call('HEXISTS', P .. 'stop_requests', id) == 1
  local lease_until = whole(now_ms + lease_ms + (is_asked and STOP_MS or 0))
  if not is_asked or call('ZADD', P .. 'stop_grace', 'NX', lease_until, id) == 1 then
    call('ZADD', P .. 'leases', lease_until, id)
  end
  -- Of one that says nothing for hours it stays known that it runs.
  if states.any('has_status') and redis.pcall('PEXPIRE', P .. 'status:' .. id, 3600000) == 1 then states.noted() end
  if told ~= '' then
    -- The telling goes last. A quote inside a JSON string is always escaped, so this finds the member and no
    -- text.
    local _, stop = string.find(text, ',"started_at":[%d.]+')
    call('HSET', P .. 'reservations', id, string.sub(text, 1, stop) .. told .. '}')
  end
  return is_asked and 'cancel' or 'ok'
end

local answers, is_named, named = {step()}, {}, 0
for i, row in ipairs(rows) do
  local answer = renewed(row[1], row[2], row[3])
  answers[i + 1] = answer
  if answer == 'ok' or answer == 'cancel' then
    is_named[row[1]] = true
    named = named + 1
    if not is_open then call('SADD', P .. 'reported_attempts', row[1]) end
  end
end
-- The last one to speak rings: the leader settles it at once.
if not is_open and call('SADD', P .. 'reported_workers', worker) == 1 and #silent() == 0 then ring() end

-- Nobody runs it: its lease is over, so that the leader looks for its receipt and sends it back. What was
-- started since the last answer that this worker has heard may be on its way to it; while the ledger is not
-- settled, settle.lua decides.
local running = P .. 'running:' .. worker
if is_open and call('HLEN', running) > named then
  local started = call('HGETALL', running)
  for i = 1, #started, 2 do
    if not is_named[started[i]] and tonumber(started[i + 1]) <= seen then
      call('ZADD', P .. 'leases', 'XX', whole(now_ms), started[i])
      ring()
    end
  end
end
return answers
