-- uses base rq
-- All that has to agree, at one instant, for `conductor audit`. Reads only; cost by the number of jobs.
--   returns  msgpack {state {id, line, ..}, counts {backlog -> {letter, n, ..}}, free {class number -> {id, ..}}, ready {..},
--            delayed {id, ..}, bound {id, ..: waiting, with a wants or wants_end}, active {id, JSON, ..},
--            charges {id, JSON, ..}, sum {key, n, ..}, leases {id, score, ..}, handed {id, ..}, popped {id, score, ..},
--            queues {queue -> {entry, ..}}, rq {id -> {status, origin}}, wip {queue -> {member, ..}},
--            class_backlog {number, backlog, ..}, lineless {id, ..}, now (ms)}
local state = call('HGETALL', P .. 'state')
local counts, free, is_placed = {}, {}, {}
for _, backlog in ipairs(call('SMEMBERS', P .. 'backlogs')) do counts[backlog] = call('HGETALL', P .. 'count:' .. backlog) end
local class_backlog = call('HGETALL', P .. 'class_backlog')
for i = 1, #class_backlog, 2 do
  local ids = call('ZRANGE', P .. 'class:' .. class_backlog[i], 0, -1)
  if #ids > 0 then free[class_backlog[i]] = ids end
  for _, id in ipairs(ids) do is_placed[id] = true end
end
local delayed = call('ZRANGE', P .. 'delayed', 0, -1)
for _, id in ipairs(delayed) do is_placed[id] = true end
-- Those that wait for others are in no list: the rest of the waiting are asked one by one.
local bound = {}
for i = 1, #state, 2 do
  local id = state[i]
  if string.sub(state[i + 1], 1, 1) == 'w' and not is_placed[id]
      and call('EXISTS', P .. 'wants:' .. id, P .. 'wants_end:' .. id) > 0 then
    bound[#bound + 1] = id
  end
end
local lineless = {}
if call('HLEN', P .. 'jobs') ~= #state / 2 then
  for i = 1, #state, 2 do
    if call('HEXISTS', P .. 'jobs', state[i]) == 0 then lineless[#lineless + 1] = state[i] end
  end
end
local active, rq = call('HGETALL', P .. 'active'), {}
for i = 1, #active, 2 do
  local held = cjson.decode(active[i + 1])
  local seen = call('HMGET', 'rq:job:' .. entry_of(active[i], held.attempt), 'status', 'origin')
  rq[active[i]] = {seen[1] or '', seen[2] or ''}
end
local queues, wip = {}, {}
for _, key in ipairs(call('SMEMBERS', 'rq:queues')) do
  local queue = string.sub(key, #'rq:queue:' + 1)
  queues[queue] = call('LRANGE', key, 0, -1)
  wip[queue] = call('ZRANGE', 'rq:wip:' .. queue, 0, -1)
end
return cmsgpack.pack({
  state, counts, free, call('SMEMBERS', P .. 'ready'), delayed, bound, active, call('HGETALL', P .. 'charges'),
  call('HGETALL', P .. 'sum'), call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES'), call('ZRANGE', P .. 'handed', 0, -1),
  call('ZRANGE', P .. 'popped', 0, -1, 'WITHSCORES'), queues, rq, wip, class_backlog, lineless, now_ms,
})
