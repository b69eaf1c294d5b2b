-- uses breakers
-- Shared: the life of one attempt, one function for each step of it; the scripts of the same names call them
-- for one attempt, `turn.lua` for many. Needs base.lua, rq.lua, history.lua, steps.lua and breakers.lua.
--   conductor:redone  hash  id -> attempt: a receipt that was taken back counts no more

-- A class stays as it is, and a turn starts many jobs of few classes.
local descriptors_seen = {}
local function descriptor_of(class)
  local text = descriptors_seen[class] or call('HGET', P .. 'classes', class)
  descriptors_seen[class] = text
  return text
end

-- admitted(attempt) -> running, with a lease: what the attempt is, or nil and why it may not begin.
-- The same worker asking again (its first answer was lost) is told the same again. `text`: its reservation,
-- of one that comes off its queue in this very step and was in nobody's hand.
local function start_one(id, attempt, worker, lease_ms, text)
  local is_off_queue = text ~= nil
  if not text then
    call('LREM', P .. 'prefetched:' .. worker, 0, entry_of(id, attempt))
    text = call('HGET', P .. 'reservations', id)
  end
  local job = job_of(id)
  if not job or not text then return nil, 'this attempt is over' end
  local held = cjson.decode(text)
  local is_again = held.state == 'running' and held.worker == worker
  if held.attempt ~= attempt or not (is_again or job.letter == 'a') then return nil, 'another attempt has its place' end
  if not is_again then
    text = string.sub(text, 1, -2) .. ',"state":"running","worker":' .. cjson.encode(worker)
      .. ',"started_at":' .. seconds(now_ms) .. '}'
    call('HSET', P .. 'reservations', id, text)
    call('HSET', P .. 'running:' .. worker, id, stepped())
    move(id, job, 'r')
    call('ZREM', P .. 'admitted_at', id)
    if states.any('off_queue_at') then call('ZREM', P .. 'off_queue_at', id) end
    if not is_off_queue then call('LREM', R .. 'queue:' .. held.queue, 0, entry_of(id, attempt)) end
    rq_start(held.queue, entry_of(id, attempt), worker)
    ring()
  end
  call('ZADD', P .. 'leases', whole(now_ms + lease_ms), id)
  -- A first attempt has none behind it.
  local failures = attempt > 1 and call('HGETALL', P .. 'failures:' .. id) or {}
  return {line_of(id), text, failures, descriptor_of(job.class)}
end

local has_redone = call('EXISTS', P .. 'redone') == 1

-- Is it the receipt that was accepted? Two bodies may have had one number (a ledger that forgot), and then
-- differ in their tokens; of one without a token no more is known.
local function is_same_body(accepted, attempt, token)
  local number, other = string.match(accepted, '^(%d+)%.?(%w*)$')
  return tonumber(number) == attempt and (token == '' or other == '' or token == other)
end

-- A job that waits for a person: what it shows, and as what it was admitted where that is counted (breakers.lua).
function review.begin(id, held, code, asked)
  call('HSET', P .. 'review:' .. id, 'asked', asked)
  if not held or not held.kind or not held.role or held.role == '' then return end
  local seen = {kind = held.kind, role = held.role, code = (code and code ~= '') and code or held.code or ''}
  call('HSET', P .. 'review:' .. id, 'held', cjson.encode(seen))
  review.count(seen, 1)
end

-- An ok receipt becomes the job's accepted one, unless one came first: accepted | already | gone.
-- `asked`: JSON of what its body shows to a person, then it is in review; '' (or nil): it is done. One of that
-- body without it is the person's yes.
-- `code`: the version that made it.
-- `written`: JSON {node, outputs {path: bytes}}, what it left on that node's disks; '' (or nil): nothing.
-- `token`: of its body.
local function accept_one(id, attempt, code, written, token, asked)
  local job = job_of(id)
  if not job then return 'gone' end
  local is_to_show, was_shown = asked and asked ~= '', review.is_open(job)
  local is_yes = was_shown and not is_to_show and is_same_body(job.accepted, attempt, token)
  if job.letter == 'd' or (was_shown and not is_yes) then return is_same_body(job.accepted, attempt, token) and 'accepted' or 'already' end
  if has_redone and attempt <= tonumber(call('HGET', P .. 'redone', id) or '0') then return 'already' end
  local was_over = job.letter == 'x' or job.letter == 'c' or review.is_aside(job)
  local seen = was_shown and call('HGET', P .. 'review:' .. id, 'held')
  local before = {}
  -- Going, it lies nowhere else, and waits for nobody.
  if job.letter ~= 'a' and job.letter ~= 'r' then
    unrest(id, job)
    each_wanted_by(id, function(other) before[#before + 1] = other end)
  end
  local held = release(id, 'finished')
  call('DEL', P .. 'waits_for:' .. id, P .. 'waits_for_end:' .. id)
  -- Of an attempt that was rescued nobody knows any more as what it was admitted.
  if held and held.attempt ~= attempt then held = nil end
  job.accepted = attempt .. (token ~= '' and '.' .. token or '')
  move(id, job, is_to_show and 'v' or 'd')
  if is_to_show then
    review.begin(id, held, code, asked)
    if was_over then revive(id) end
  else
    if written and written ~= '' then files_written(id, tostring(attempt), written) end
    if was_over then revive(id) end
    free(id)
    kind_passed(seen and cjson.decode(seen) or held, code)
  end
  take_back_priority(before)
  ring()
  return 'accepted'
end

-- running(attempt) -> waiting, dead or cancelled: accepted | already | gone.
-- `fingerprint`: what other failures of its kind would be alike in; '' (or nil) where it says nothing of the
-- kind. `place`: the same of the line where it was raised.
local function fail_one(id, attempt, cause, message, is_dead, delay_ms, class, descriptor, fingerprint, code, place, is_free)
  local job = job_of(id)
  if not job then return 'gone' end
  if job.letter == 'd' or review.is_open(job) then return 'already' end
  if job.letter ~= 'r' or job.attempts ~= attempt then return 'gone' end
  kind_failed(lose(id, job, cause, message, is_dead, delay_ms, class, descriptor, is_free), code, fingerprint, cause, message,
    place)
  return 'accepted'
end

-- An attempt whose body never began goes back, at no cost to the job's budgets: admitted(attempt), or
-- running(attempt) where `worker` is the one that runs it and says so -> waiting, or what the operator asked
-- for. 1, or 0 when not so. Its number is used up, so that an entry still lying in some worker's hand finds
-- itself over.
local function give_back_one(id, attempt, worker)
  local job = job_of(id)
  if not job or job.attempts ~= attempt then return 0 end
  local verb, cause, message
  if job.letter == 'r' then
    if not worker or cjson.decode(call('HGET', P .. 'reservations', id)).worker ~= worker then return 0 end
    verb, cause, message = asked_of(id)
  elseif job.letter ~= 'a' then
    return 0
  end
  release(id)
  if verb then
    as_asked(id, job, verb, cause, message)
  else
    fit(id, job, true)
    move(id, job, 'w')
    rest(id, job)
  end
  ring()
  return 1
end
