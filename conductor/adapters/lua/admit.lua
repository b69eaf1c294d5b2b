-- uses base rq chains steps kinds
-- Hand jobs over: per admission waiting -> admitted, the reservation, RQ's own job and its queue entry, or nothing.
--   ARGV[1]  msgpack {epoch, constant RQ fields {name, value, ..}, admissions {{id, attempt, queue, Reservation JSON,
--            charges {key: amount}, ceilings {key: limit}, RQ description, node}, ..}}
--   ARGV[2..] RQ's `data` field of each admission
--   returns  per admission '' or why not; FENCED when the epoch is not the current one
--   writes   conductor:active, charges, sum, handed, state, count:B, class:C, ready; longest_wait (ms), what chains.lua names; rq:queues, rq:job:ENTRY, rq:queue:Q
local epoch, fields, admissions = unpack(cmsgpack.unpack(ARGV[1]))
if fenced(epoch) then return refuse('this conductor no longer leads') end
local admitted_at = seconds(now_ms)
local at = iso(now_ms)
local born, longest_ms = tonumber(call('GET', P .. 'born') or '0'), 0

local function over_ceiling(charges, ceilings)
  for key, limit in pairs(ceilings) do
    if tonumber(call('HGET', P .. 'sum', key) or '0') + (charges[key] or 0) > limit then return key end
  end
end

local function objection(id, job, attempt, charges, ceilings)
  if not job or not call('ZSCORE', P .. 'class:' .. job.class, id) then return 'not waiting' end
  if attempt ~= job.attempts + 1 then return 'attempt ' .. attempt .. ' is not its next' end
  local key = over_ceiling(charges, ceilings)
  return key and 'over ceiling ' .. key
end

local function hand_over(admission, data)
  local id, attempt, queue, reservation, charges, ceilings, description, node = unpack(admission)
  local job = job_of(id)
  local why_not = objection(id, job, attempt, charges, ceilings) or kind_objection(reservation)
  if why_not then return why_not end
  -- A retry waits for its own sake: only first waits tell what is usual here.
  if job.attempts == 0 then longest_ms = math.max(longest_ms, now_ms - born - tonumber(job.since)) end
  unrest(id, job)
  job.attempts = attempt
  move(id, job, 'a')
  charge(id, charges)
  call('HSET', P .. 'active', id, string.sub(reservation, 1, -2) .. ',"admitted_at":' .. admitted_at .. '}')
  chain_begun(id, node)
  call('ZADD', P .. 'handed', whole(now_ms), id)
  local entry = entry_of(id, attempt)
  call('HSET', 'rq:job:' .. entry, 'data', data, 'description', description, 'origin', queue, 'created_at', at,
    'enqueued_at', at, unpack(fields))
  call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  call('RPUSH', 'rq:queue:' .. queue, entry)
  return ''
end

local answers = {}
for i, admission in ipairs(admissions) do answers[i] = hand_over(admission, ARGV[i + 1]) end
if longest_ms > tonumber(call('GET', P .. 'longest_wait') or '0') then call('SET', P .. 'longest_wait', whole(longest_ms)) end
return answers
