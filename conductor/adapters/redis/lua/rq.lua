-- Shared: RQ's own keys, a cache of the ledger that rq-dashboard can show.
--   rq:job:ENTRY      hash  one attempt as RQ sees it; ENTRY is ID-aN
--   conductor:queues  set  names of queues that entries were handed over to
--   rq:queue:Q        list  entries handed over and not yet taken
--   rq:wip:Q          zset  ENTRY:EXECUTION, score +inf: RQ's own clean-up never finds one that ran out
--   rq:finished:Q, rq:failed:Q, rq:canceled:Q   zset  ENTRY, score when it is forgotten

-- Seconds an ended entry is shown, and how many of them: a fast lane must not fill Redis with its past.
local SHOWN = {finished = {600, 100}, failed = {86400, 500}, canceled = {600, 100}}

local function entry_of(id, attempt)
  return id .. '-a' .. attempt
end

-- RQ's format of a moment, 2026-11-05T09:00:00.123000Z, from days since 1970 (civil calendar, no library
-- here).
local function iso(ms)
  local days = math.floor(ms / 86400000)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local rest = ms - days * 86400000
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d000Z', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

local iso_now
local function at_now()
  iso_now = iso_now or iso(now_ms)
  return iso_now
end

-- RQ's list of queues may hold those of another application: ours has ours only.
local is_known_to_rq = {}
local function rq_knows(queue)
  if is_known_to_rq[queue] then return end
  is_known_to_rq[queue] = true
  call('SADD', P .. 'queues', queue)
  call('SADD', R .. 'queues', R .. 'queue:' .. queue)
end

local function rq_start(queue, entry, worker)
  local at = at_now()
  call('HSET', R .. 'job:' .. entry, 'status', 'started', 'started_at', at, 'last_heartbeat', at, 'worker_name', worker)
  call('ZADD', R .. 'wip:' .. queue, '+inf', entry .. ':1')
end

local shown_in = {}

-- Out of the queue, or of what runs; shown for a while among the ended, or (status nil) forgotten at once.
-- What runs has left its queue (`start_one`), which may be long.
local function rq_end(queue, entry, status, was_running)
  local hash = R .. 'job:' .. entry
  if was_running then
    call('ZREM', R .. 'wip:' .. queue, entry .. ':1')
  else
    call('LREM', R .. 'queue:' .. queue, 0, entry)
  end
  if not status then
    call('DEL', hash)
    return
  end
  if call('EXISTS', hash) == 0 then return end
  local ttl, most = SHOWN[status][1], SHOWN[status][2]
  local registry = R .. status .. ':' .. queue
  local now_s = math.floor(now_ms / 1000)
  call('HSET', hash, 'status', status, 'ended_at', at_now())
  call('EXPIRE', hash, ttl)
  call('ZADD', registry, now_s + ttl, entry)
  -- How many there are is asked once in a script, in which one more comes with each end.
  if not shown_in[registry] then
    call('ZREMRANGEBYSCORE', registry, '-inf', '(' .. now_s)
    shown_in[registry] = call('ZCARD', registry)
  else
    shown_in[registry] = shown_in[registry] + 1
  end
  if shown_in[registry] > most then
    call('DEL', R .. 'job:' .. call('ZPOPMIN', registry)[1])
    shown_in[registry] = shown_in[registry] - 1
  end
end

-- Attempts that ended so were put off and did not fail: rq-dashboard shows nothing of them.
local PUT_OFF = {rate_limited = true, endpoint_unavailable = true, store_unavailable = true}

-- Why an ended entry failed. It stands in the description, which every page shows: RQ keeps its own words of
-- a failure compressed, in a stream of their own.
local function rq_say(held, id, words)
  local hash = R .. 'job:' .. entry_of(id, held.attempt)
  local was = call('HGET', hash, 'description')
  if was then call('HSET', hash, 'description', was .. ' | ' .. words) end
end
