-- Shared: heirs lined up. An heir that would find its room in what its predecessor holds is told to the worker of that one
-- while it runs: its body may begin where that one's ends well, before anybody has asked the ledger. Needs hand_over.lua.
--   conductor:lined      hash  id of a running job -> msgpack {its attempt, heir, number, worker, is void, admission, RQ fields, RQ data}:
--                        one for each, gone when that attempt ends. The heir waits, holds nothing, may be admitted, cancelled
--                        or named elsewhere; its number is used up, so that no other attempt has it.
--   conductor:line:WORKER  list  msgpack {predecessor, its attempt, heir, number, what `start_one` answers, or false: taken back}
--   conductor:handed_ahead int   of `handed_on`: those whose bodies had begun
local MOST_UNREAD, UNREAD_MS = 8, 60000
--   So short that what they gain is less than what it costs to tell.
local SHORTEST_S = 0.005

local function lined_behind(id)
  local text = call('HGET', P .. 'lined', id)
  if not text then return nil end
  local row = cmsgpack.unpack(text)
  return {of_attempt = row[1], id = row[2], attempt = row[3], worker = row[4], is_void = row[5], admission = row[6],
    fields = row[7], data = row[8]}
end

local function write_lined(id, lined)
  call('HSET', P .. 'lined', id, cmsgpack.pack({lined.of_attempt, lined.id, lined.attempt, lined.worker, lined.is_void,
    lined.admission, lined.fields, lined.data}))
end

local function tell_lined(id, lined, row)
  local key = P .. 'line:' .. lined.worker
  call('RPUSH', key, cmsgpack.pack({id, lined.of_attempt, lined.id, lined.attempt, row}))
  call('PEXPIRE', key, UNREAD_MS)
end

-- Is it still to go next, under that number?
local function is_next(lined)
  local job = not lined.is_void and job_of(lined.id)
  return job and job.letter == 'w' and job.attempts == lined.attempt
    and call('ZSCORE', P .. 'class:' .. job.class, lined.id)
end

-- Does it fit into what the other one holds? Not its files: those of the other are still there.
local function is_covered(charges, given)
  for key, amount in pairs(charges) do
    if string.sub(key, -6) == ':bytes' or amount > (given[key] or 0) then return false end
  end
  return true
end

-- Whose worker is to be told? nil: nobody's.
local function worker_of(id, attempt, queue)
  local text = call('HGET', P .. 'active', id)
  local held = text and cjson.decode(text)
  if not held or held.attempt ~= attempt or held.state ~= 'running' or held.queue ~= queue then return nil end
  if call('HEXISTS', P .. 'asked', id) == 1 or call('LLEN', P .. 'line:' .. held.worker) >= MOST_UNREAD then return nil end
  local pace = tonumber(call('HGET', P .. 'paces', held.task) or SHORTEST_S)
  return pace >= SHORTEST_S and held.worker or nil
end

-- True where it is lined up now.
local function line_up(id, of_attempt, admission, fields, data)
  local heir, attempt, queue, reservation, charges, ceilings = unpack(admission)
  local worker = worker_of(id, of_attempt, queue)
  -- Waiting under a multiple of 100 it would look as if a rebuild had put it there (`is_unheard`).
  if not worker or attempt % 100 == 0 then return false end
  local given, more = cjson.decode(call('HGET', P .. 'charges', id)), {}
  for key in pairs(ceilings) do more[key] = (charges[key] or 0) - (given[key] or 0) end
  local job = job_of(heir)
  if not is_covered(charges, given) or objection(heir, job, attempt, more, ceilings) or kind_objection(reservation)
      or is_held_back(reservation) then
    return false
  end
  job.attempts = attempt
  call('HSET', P .. 'state', heir, state_line(job))
  local lined = {of_attempt = of_attempt, id = heir, attempt = attempt, worker = worker, is_void = false,
    admission = admission, fields = fields, data = data}
  write_lined(id, lined)
  tell_lined(id, lined, {line_of(heir), admitted(reservation), call('HGETALL', P .. 'fails:' .. heir),
    call('HGET', P .. 'classes', job.class)})
  return true
end

-- By this tick: who is not named again is taken back. Another one follows once the worker has said that it did not begin.
local function line_up_all(heirs, fields, data_of)
  local named, is_lined = {}, {}
  for _, heir in ipairs(heirs) do named[heir[1]] = heir[3][1] end
  for _, id in ipairs(call('HKEYS', P .. 'lined')) do
    local lined = lined_behind(id)
    if lined.is_void then
      named[id] = nil
    elseif named[id] == lined.id and is_next(lined) then
      is_lined[lined.id] = true
    else
      lined.is_void = true
      write_lined(id, lined)
      tell_lined(id, lined, false)
    end
  end
  for i, heir in ipairs(heirs) do
    local id, admission = heir[1], heir[3]
    if not is_lined[admission[1]] and call('HEXISTS', P .. 'lined', id) == 0 then
      is_lined[admission[1]] = line_up(id, heir[2], admission, fields, data_of(i))
    end
  end
end

-- Its worker did not begin it, and will not. What it would not take is not offered to it again.
local function not_lined(id, heir, attempt)
  local lined = lined_behind(id)
  if not lined or lined.id ~= heir or lined.attempt ~= attempt then return end
  if lined.is_void then
    call('HDEL', P .. 'lined', id)
    ring()
  else
    lined.is_void = true
    write_lined(id, lined)
  end
end

-- Its body has begun where that one's ended: may it be an attempt? Also true where it is one already (the answer was lost).
local function may_follow(id, of_attempt, heir, attempt, worker)
  local text = call('HGET', P .. 'active', heir)
  local held = text and cjson.decode(text)
  if held and held.attempt == attempt and held.state == 'running' and held.worker == worker then return true end
  local lined = lined_behind(id)
  if not lined or lined.of_attempt ~= of_attempt or lined.id ~= heir or lined.attempt ~= attempt
      or lined.worker ~= worker or not is_next(lined) then
    return false
  end
  return not kind_objection(lined.admission[4]) and not is_held_back(lined.admission[4])
end
