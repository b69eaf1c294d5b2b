-- uses base rq chains history steps attempts
-- The ledger is whole again, as far as it can be: the ends of the receipts were taken in, and all workers
-- that are there have said what they hold, or have had their time. What is handed out from now on is in
-- nobody's hand.
--   ARGV     epoch, how long silent workers are waited for (ms), the highest number that receipts tell of
--   returns  {1 or 0: settled, or not yet, how many went back, floor for new numbers or 0: none in use can be
--            given out}
--   reads    what history.lua names
--   writes   conductor:workers (those of lost hosts), settled_history, settling_history, highest_seen_count,
--            reported_workers, reported_attempts, handout_count, attempt_floor, off_queue_at, leases; what
--            `give_back_one` of attempts.lua touches
-- Not at the job's cost: what its worker does not know of (any more) ended in what was forgotten; what is
-- handed over and not started may have been started in it. What silent workers run is an orphan when its
-- lease has run out.
local GENERATION_STEP = 100 -- of core/failures/history.py
-- So many times as long as a lease comes of another server's clock.
local AHEAD = 10
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
if is_settled() then return {1, 0, 0} end
local since = tonumber(string.match(call('GET', P .. 'settling_history') or '', '(%d+)$') or whole(now_ms))
local missing = silent()
if #missing > 0 and now_ms < since + tonumber(ARGV[2]) then return {0, 0, 0} end

local seen = tonumber(call('GET', P .. 'highest_seen_count') or '0')
-- Who is gone may have seen more than all who are there.
local is_back = seen > 0 or #missing > 0
local went_back = 0
local rows = call('HGETALL', P .. 'reservations')
for i = 1, #rows, 2 do
  local id, held = rows[i], cjson.decode(rows[i + 1])
  local is_lost = is_back
  if held.state == 'running' then
    -- Given by a server whose clock was ahead, it would keep what nobody runs for as long as that.
    local latest = now_ms + AHEAD * tonumber(ARGV[2])
    if tonumber(call('ZSCORE', P .. 'leases', id) or '0') > latest then call('ZADD', P .. 'leases', whole(latest), id) end
    is_lost = call('SISMEMBER', P .. 'reported_workers', held.worker) == 1 and call('SISMEMBER', P .. 'reported_attempts', id) == 0
  end
  if is_lost then went_back = went_back + give_back_one(id, held.attempt, held.worker) end
end
if is_back then
  local highest = math.max(tonumber(call('GET', P .. 'highest_attempt') or '0'), tonumber(ARGV[3]), number_floor())
  floor_now = (math.floor(highest / GENERATION_STEP) + 1) * GENERATION_STEP
  call('SET', P .. 'attempt_floor', floor_now)
  call('SET', P .. 'handout_count', whole(math.max(step(), seen) + 1))
end
-- Waited for once is enough: the next restart would wait for the dead of a lost host again.
for _, worker in ipairs(missing) do call('DEL', R .. 'worker:' .. worker) end
for _, worker in ipairs(call('SMEMBERS', P .. 'workers')) do strike_off_gone(worker) end
call('SET', P .. 'settled_history', history())
call('DEL', P .. 'settling_history', P .. 'highest_seen_count', P .. 'reported_workers', P .. 'reported_attempts', P .. 'off_queue_at')
ring()
return {1, went_back, is_back and floor_now or 0}
