-- Shared: successors are preloaded. A successor that would find its room in what its predecessor holds is
-- told to the worker of that one while it runs: its body may begin where that one's ends well, before anybody
-- has asked the ledger. Needs hand_over.lua.
--   conductor:preloaded  hash  id of a running job -> msgpack {its attempt, successor, number, worker, is
--       void, admission, RQ fields, RQ data, claim}: one for each, gone when that attempt ends. The successor
--       waits, holds nothing, may be admitted, cancelled or named elsewhere; its number is used up, so that
--       no other attempt has it. Claim: charge key -> bytes that its body may write beside what the other one
--       leaves. They are in the sums, and in `charges` of the running one: what ends that one gives them
--       back, however it ends. They go no sooner than its worker says that the successor will not begin: it
--       may have.
--   conductor:successor_feed:WORKER  list  msgpack {predecessor, its attempt, successor, number, what
--       `start_one` answers, or false: taken back}
--   conductor:early_successions  int  of `successions`: those whose bodies had begun
local MOST_UNREAD, UNREAD_MS = 8, 60000
--   So short that what they gain is less than what it costs to tell.
local SHORTEST_S = 0.005

local function preloaded_behind(id)
  local text = states.any('preloaded') and call('HGET', P .. 'preloaded', id)
  if not text then return nil end
  local row = cmsgpack.unpack(text)
  return {of_attempt = row[1], id = row[2], attempt = row[3], worker = row[4], is_void = row[5], admission = row[6],
    fields = row[7], data = row[8], claim = row[9] or {}}
end

local function write_preloaded(id, preloaded)
  states.there.preloaded = true
  call('HSET', P .. 'preloaded', id, cmsgpack.pack({preloaded.of_attempt, preloaded.id, preloaded.attempt, preloaded.worker, preloaded.is_void,
    preloaded.admission, preloaded.fields, preloaded.data, preloaded.claim}))
end

local function tell_preloaded(id, preloaded, row)
  local key = P .. 'successor_feed:' .. preloaded.worker
  call('RPUSH', key, cmsgpack.pack({id, preloaded.of_attempt, preloaded.id, preloaded.attempt, row}))
  call('PEXPIRE', key, UNREAD_MS)
end

-- Is it still to go next, under that number?
local function is_next(preloaded)
  local job = not preloaded.is_void and job_of(preloaded.id)
  return job and job.letter == 'w' and job.attempts == preloaded.attempt
    and call('ZSCORE', P .. 'class:' .. job.class, preloaded.id) and not is_of_another_line(preloaded.id, job, preloaded.admission[4])
end

-- What it has to claim: its files never fit into what the other one holds, whose own stay there. nil: all
-- else does not.
local function claim_of(charges, given)
  local claim = {}
  for key, amount in pairs(charges) do
    if string.sub(key, -6) == ':bytes' then
      claim[key] = amount
    elseif amount > (given[key] or 0) then
      return nil
    end
  end
  return claim
end

-- `sign`: 1 claims, -1 gives back. `id`: of the running one.
local function count_claim(id, claim, sign)
  if not next(claim) then return end
  local held = cjson.decode(call('HGET', P .. 'charges', id))
  for key, amount in pairs(claim) do
    held[key] = (held[key] or 0) + sign * amount
    if held[key] == 0 then held[key] = nil end
    if call('HINCRBY', P .. 'reserved', key, whole(sign * amount)) == 0 then call('HDEL', P .. 'reserved', key) end
  end
  note_charges(id, held)
end

local function is_any_of(claim, short)
  for key in pairs(claim) do
    if short[key] then return true end
  end
  return false
end

-- Whose worker is to be told? nil: nobody's.
local function worker_of(id, attempt, queue)
  local text = call('HGET', P .. 'reservations', id)
  local held = text and cjson.decode(text)
  if not held or held.attempt ~= attempt or held.state ~= 'running' or held.queue ~= queue then return nil end
  if call('HEXISTS', P .. 'stop_requests', id) == 1 or call('LLEN', P .. 'successor_feed:' .. held.worker) >= MOST_UNREAD then return nil end
  local pace = tonumber(call('HGET', P .. 'task_durations', held.task) or SHORTEST_S)
  return pace >= SHORTEST_S and held.worker or nil
end

-- True where it is preloaded now.
local function preload(id, of_attempt, admission, fields, data, written, short)
  local successor, attempt, queue, reservation, charges, ceilings = unpack(admission)
  local worker = worker_of(id, of_attempt, queue)
  -- Waiting under a multiple of 100 it would look as if a rebuild had put it there (`is_unheard`).
  if not worker or attempt % 100 == 0 then return false end
  local given, more = cjson.decode(call('HGET', P .. 'charges', id)), {}
  local claim, job = claim_of(charges, given), job_of(successor)
  -- Its ceilings are those of the moment in which the other one has gone and left all its files.
  for key, amount in pairs(given) do more[key] = -amount end
  for key, amount in pairs(charges) do more[key] = (more[key] or 0) + amount end
  if not claim or is_any_of(claim, short) or objection(successor, job, attempt, more, ceilings, written)
      or kind_objection(reservation) or report_objection(reservation, admission[8])
      or is_of_another_line(successor, job, reservation) or is_held_back(reservation) then
    return false
  end
  job.attempts = attempt
  note_number(attempt)
  stepped()
  call('HSET', P .. 'state', successor, state_line(job))
  local preloaded = {of_attempt = of_attempt, id = successor, attempt = attempt, worker = worker, is_void = false,
    admission = admission, fields = fields, data = data, claim = claim}
  count_claim(id, claim, 1)
  write_preloaded(id, preloaded)
  tell_preloaded(id, preloaded, {line_of(successor), admitted(reservation), call('HGETALL', P .. 'failures:' .. successor),
    call('HGET', P .. 'classes', job.class)})
  return true
end

-- By this tick: who is not named again is taken back. Another one follows once the worker has said that it
-- did not begin. `short`: charge keys for want of which the tick's own admissions were turned down. A claim
-- keeps nobody from what is free: those on them are taken back too, and a tick comes when they are.
local function preload_all(successors, fields, data_of, written, short)
  local named, is_preloaded = {}, {}
  for _, successor in ipairs(successors) do named[successor[1]] = successor[3][1] end
  for _, id in ipairs(call('HKEYS', P .. 'preloaded')) do
    local preloaded = preloaded_behind(id)
    if preloaded.is_void then
      named[id] = nil
    elseif named[id] == preloaded.id and is_next(preloaded) and not is_any_of(preloaded.claim, short) then
      is_preloaded[preloaded.id] = true
    else
      preloaded.is_void = true
      write_preloaded(id, preloaded)
      tell_preloaded(id, preloaded, false)
    end
  end
  for i, successor in ipairs(successors) do
    local id, admission = successor[1], successor[3]
    if not is_preloaded[admission[1]] and call('HEXISTS', P .. 'preloaded', id) == 0 then
      is_preloaded[admission[1]] = preload(id, successor[2], admission, fields, data_of(i), written, short)
    end
  end
end

-- Its worker did not begin it, and will not. What it would not take is not offered to it again.
local function not_preloaded(id, successor, attempt)
  local preloaded = preloaded_behind(id)
  if not preloaded or preloaded.id ~= successor or preloaded.attempt ~= attempt then return end
  count_claim(id, preloaded.claim, -1)
  preloaded.claim = {}
  if preloaded.is_void then
    call('HDEL', P .. 'preloaded', id)
    ring()
  else
    preloaded.is_void = true
    write_preloaded(id, preloaded)
  end
end

-- Its body has begun where that one's ended: may it be an attempt? Also true where it is one already (the
-- answer was lost).
local function may_follow(id, of_attempt, successor, attempt, worker)
  local text = call('HGET', P .. 'reservations', successor)
  local held = text and cjson.decode(text)
  if held and held.attempt == attempt and held.state == 'running' and held.worker == worker then return true end
  local preloaded = preloaded_behind(id)
  if not preloaded or preloaded.of_attempt ~= of_attempt or preloaded.id ~= successor or preloaded.attempt ~= attempt
      or preloaded.worker ~= worker or not is_next(preloaded) then
    return false
  end
  local reservation = preloaded.admission[4]
  return not (kind_objection(reservation) or report_objection(reservation, preloaded.admission[8]) or is_held_back(reservation))
end
