-- uses base rq
-- All that has to agree, at one instant, for `conductor audit`. Reads only; cost by the number of jobs it is
-- about.
--   ARGV[1]  msgpack {id, ..}: of the jobs these only, and those in flight or delayed; none given ('') all of
--            them
--   returns  msgpack {state {id, line, ..}, counts {backlog -> {letter, n, ..}}, free {class number -> {id,
--            ..}}, ready {..}, delayed {id, ..}, bound {id, ..: waiting, with waits_for or waits_for_end},
--            reservations {id, JSON, ..}, charges {id, JSON, ..}, reserved {key, n, ..}, leases {id, score,
--            ..}, admitted {id, ..}, off_queue_at {id, score, ..}, queues {queue -> {entry, ..}}, rq {id ->
--            {status, origin}}, wip {queue -> {member, ..}}, class_backlog {number, backlog, ..}, lineless
--            {id, ..}, now (ms), by_state {letter -> {id, ..}}: all mode only, claims {id -> {key ->
--            amount}}: of those preloaded behind it, causes {backlog -> {cause, n, ..}}, dead_by_own_cause
--            {id, cause, ..}: all mode only}
local counts, causes, free, is_placed = {}, {}, {}, {}
local delayed = call('ZRANGE', P .. 'delayed', 0, -1)
local class_backlog = call('HGETALL', P .. 'class_backlog')

local function all_of_them()
  for i = 1, #class_backlog, 2 do
    local ids = call('ZRANGE', P .. 'class:' .. class_backlog[i], 0, -1)
    if #ids > 0 then free[class_backlog[i]] = ids end
    for _, id in ipairs(ids) do is_placed[id] = true end
  end
  return call('HGETALL', P .. 'state')
end

local function some_of_them(ids)
  local state, is_seen = {}, {}
  for _, key in ipairs({'admitted_at', 'leases', 'delayed'}) do
    for _, id in ipairs(call('ZRANGE', P .. key, 0, -1)) do ids[#ids + 1] = id end
  end
  for _, id in ipairs(call('HKEYS', P .. 'reservations')) do ids[#ids + 1] = id end
  for _, id in ipairs(ids) do
    local text = not is_seen[id] and call('HGET', P .. 'state', id)
    is_seen[id] = true
    if text then
      state[#state + 1] = id
      state[#state + 1] = text
      local job = job_of(id)
      if job.class and call('ZSCORE', P .. 'class:' .. job.class, id) then
        free[job.class] = free[job.class] or {}
        table.insert(free[job.class], id)
        is_placed[id] = true
      end
    end
  end
  return state
end

local state = ARGV[1] == '' and all_of_them() or some_of_them(cmsgpack.unpack(ARGV[1]))
for _, backlog in ipairs(call('SMEMBERS', P .. 'backlogs')) do
  counts[backlog] = call('HGETALL', P .. 'count:' .. backlog)
  causes[backlog] = call('HGETALL', P .. 'causes:' .. backlog)
end
for _, id in ipairs(delayed) do is_placed[id] = true end
-- Those that wait for others are in no list: the rest of the waiting are asked one by one.
local bound = {}
for i = 1, #state, 2 do
  local id = state[i]
  if string.sub(state[i + 1], 1, 1) == 'w' and not is_placed[id]
      and call('EXISTS', P .. 'waits_for:' .. id, P .. 'waits_for_end:' .. id) > 0 then
    bound[#bound + 1] = id
  end
end
local lineless = {}
if ARGV[1] ~= '' or call('HLEN', P .. 'jobs') ~= #state / 2 then
  for i = 1, #state, 2 do
    if call('HEXISTS', P .. 'jobs', state[i]) == 0 then lineless[#lineless + 1] = state[i] end
  end
end
local reservations, rq = call('HGETALL', P .. 'reservations'), {}
for i = 1, #reservations, 2 do
  local held = cjson.decode(reservations[i + 1])
  local seen = call('HMGET', R .. 'job:' .. entry_of(reservations[i], held.attempt), 'status', 'origin')
  rq[reservations[i]] = {seen[1] or '', seen[2] or ''}
end
local queues, wip = {}, {}
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  queues[queue] = call('LRANGE', R .. 'queue:' .. queue, 0, -1)
  wip[queue] = call('ZRANGE', R .. 'wip:' .. queue, 0, -1)
end
local by_state = {}
for letter in pairs(states.listed) do
  if ARGV[1] == '' then by_state[letter] = call('SMEMBERS', P .. 'by_state:' .. letter) end
end
local preloaded, claims = call('HGETALL', P .. 'preloaded'), {}
for i = 1, #preloaded, 2 do claims[preloaded[i]] = cmsgpack.unpack(preloaded[i + 1])[9] or {} end
return cmsgpack.pack({
  state, counts, free, call('SMEMBERS', P .. 'ready'), delayed, bound, reservations, call('HGETALL', P .. 'charges'),
  call('HGETALL', P .. 'reserved'), call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES'), call('ZRANGE', P .. 'admitted_at', 0, -1),
  call('ZRANGE', P .. 'off_queue_at', 0, -1, 'WITHSCORES'), queues, rq, wip, class_backlog, lineless, now_ms, by_state, claims,
  causes, ARGV[1] == '' and call('HGETALL', P .. 'dead_by_own_cause') or {},
})
