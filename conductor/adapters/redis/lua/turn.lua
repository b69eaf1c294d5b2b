-- uses base rq chains history steps attempts hand_over preload
-- A worker's turn, in one step: what it has done is accepted, what it did not begin goes back, and it starts
-- what it took from its queue, with as much more of that queue as should be over within its budget of
-- seconds.
--   ARGV[1]  msgpack {worker, queue, lease (ms), turn number, done {{id, attempt, code version, written,
--            token, JSON of what it shows to a person or ''}, ..}, returned {{id, attempt}, ..}, in hand
--            {ENTRY, ..}, most, budget (s), {task: seconds
--            one takes}, is idle, {task: seconds} for `task_durations`, is from hand: what lies in
--            prefetched:WORKER is in hand, and where nothing does nothing is started, begun {{predecessor,
--            its attempt, successor, attempt}, ..}: preloaded, and their bodies run, not preloaded
--            {{predecessor, successor, attempt}, ..}: preloaded, and they will not begin, the step
--            (history.lua) that this worker was told last}
--   returns  msgpack {answers {accepted | already | gone, ..}, started {{line, Reservation, fails,
--            descriptor}, ..}, over {ENTRY, ..}: it is not their turn, refused {{successor, attempt}, ..}: of
--            those begun it is not the turn; then nothing else has happened: what their predecessors hold
--            covers them until they have ended, step, 1 or 0: the ledger is settled, or nothing is handed out
--            now (history.lua): what is in hand stays there} The same turn asked for again (the answer was
--            lost) starts what it took the first time, and no more.
--   reads    rq:workers:Q: each worker of a queue takes its share of it, or SHARE_S of work where that is more;
--            prefetched:WORKER
--   writes   what hand_over.lua and preload.lua name: who was to go next where an attempt ends well is in the
--            queue then, or runs, where it had begun; conductor:last_turn:WORKER (PX lease) "NUMBER ENTRY
--            .."; task_durations {task: seconds}, of those that are short; rq:queue:Q; what attempts.lua
--            touches
local worker, queue, lease_ms, number, done, returned, in_hand, most, budget, task_durations, is_idle, news, is_from_hand, begun,
  not_begun, seen =
  unpack(cmsgpack.unpack(ARGV[1]))
local taken_key, queue_key = P .. 'last_turn:' .. worker, R .. 'queue:' .. queue
local answers, started, over, taken, spent, load = {}, {}, {}, {}, 0, 0
witness(seen)
local is_open = is_settled()

-- Less is not worth a turn: where four workers halve what is left of a queue, most turns begin one job.
local SHARE_S = 0.008
-- What a body takes that does nothing: it is started and written down.
local LEAST_S = 0.001

local function parsed(entry)
  local id, attempt = string.match(entry, '^([%w_-]+)-a([1-9]%d*)$')
  return id, tonumber(attempt)
end

local function pace_of(reservation)
  return task_durations[reservation and string.match(reservation, '"task":"([^"]*)"') or '']
end

-- `reservation`: where it was read already.
local function start(entry, reservation)
  local id, attempt = parsed(entry)
  local row = id and start_one(id, attempt, worker, lease_ms, reservation)
  if not row then
    over[#over + 1] = entry
    return
  end
  started[#started + 1] = row
  spent = spent + (pace_of(row[2]) or budget)
end

-- The next entry of the queue and its reservation, if it is ours and should be over within `limit` and in time; an
-- idle worker takes whatever comes first.
local function next_entry(limit)
  local entry = call('LINDEX', queue_key, 0)
  local id = entry and parsed(entry)
  if not id then return nil end
  local reservation = call('HGET', P .. 'reservations', id)
  local pace = pace_of(reservation)
  local is_first = is_idle and #taken == 0 and #in_hand == 0
  if not is_first and (not pace or spent + pace > budget or load + math.max(pace, LEAST_S) > limit) then return nil end
  load = load + math.max(pace or limit, LEAST_S)
  call('LPOP', queue_key)
  taken[#taken + 1] = entry
  return entry, reservation
end

local function take()
  if most == 0 then return end
  local share = math.ceil(call('LLEN', queue_key) / math.max(1, call('SCARD', R .. 'workers:' .. queue)))
  while #taken < most do
    local entry, reservation = next_entry(#taken < share and math.huge or SHARE_S)
    if not entry then return end
    start(entry, reservation)
  end
end

-- What is none of ours stays there, for the worker to look at.
local function hand()
  local found = {}
  for _, entry in ipairs(call('LRANGE', P .. 'prefetched:' .. worker, 0, -1)) do
    if parsed(entry) then found[#found + 1] = entry end
  end
  return found
end

local refused, follower, is_done = {}, {}, {}
for _, row in ipairs(done) do is_done[row[1]] = true end
for _, row in ipairs(begun) do
  if is_open and is_done[row[1]] and may_follow(row[1], row[2], row[3], row[4], worker) then
    follower[row[1]] = row
  else
    refused[#refused + 1] = {row[3], row[4]}
  end
end
if #refused > 0 then return cmsgpack.pack({{}, {}, {}, refused, step(), is_open and 1 or 0}) end

states.counted = {}
for task, seconds in pairs(news) do
  if seconds > 0 then call('HSET', P .. 'task_durations', task, seconds) else call('HDEL', P .. 'task_durations', task) end
end
for _, row in ipairs(not_begun) do not_preloaded(row[1], row[2], row[3]) end
for i, row in ipairs(done) do
  local preloaded = preloaded_behind(row[1])
  answers[i] = accept_one(row[1], row[2], row[3], row[4], row[5], row[6])
  if follower[row[1]] then
    if preloaded then
      take_place(preloaded.admission, job_of(preloaded.id), preloaded.fields, preloaded.data)
      count_succession()
      call('INCR', P .. 'early_successions')
    end
    start(entry_of(follower[row[1]][3], follower[row[1]][4]))
  elseif is_open and answers[i] == 'accepted' and most > 0 then -- A worker that takes nothing more is about to leave.
    succeed(row[1], row[2], preloaded, row[4])
  end
end
for _, row in ipairs(returned) do give_back_one(row[1], row[2], worker) end

if not is_open then
  states.write_counts()
  return cmsgpack.pack({answers, {}, {}, {}, step(), 0})
end

local before = call('GET', taken_key)
if before and string.match(before, '^%S+') == number then
  for _, entry in ipairs(in_hand) do start(entry) end
  for entry in string.gmatch(before, ' (%S+)') do start(entry) end
else
  if is_from_hand then in_hand = hand() end
  for _, entry in ipairs(in_hand) do start(entry) end
  if not is_from_hand or #in_hand > 0 then take() end
  -- Whoever names what is in hand will name it again: only what was found here has to be remembered.
  local found = is_from_hand and in_hand or {}
  for _, entry in ipairs(taken) do found[#found + 1] = entry end
  if #found > 0 then call('SET', taken_key, number .. ' ' .. table.concat(found, ' '), 'PX', lease_ms) end
end
states.write_counts()
return cmsgpack.pack({answers, started, over, {}, step(), 1})
