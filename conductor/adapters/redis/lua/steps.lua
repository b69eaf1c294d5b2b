-- uses waiting
-- Shared: what the steps of a job's life have in common. Needs base.lua and rq.lua.
--   conductor:waits_for:ID, conductor:waits_for_end:ID   set  what a job still waits for
--   conductor:waited_on_by:ID  set  who waits for this one (kept when it dies: `retry` brings them back)
--   conductor:reservations  hash  id -> Reservation JSON (admitted and running)
--   conductor:charges  hash  id -> {charge key: amount}, what its release gives back; with what is claimed
--       for the one preloaded behind it (preload.lua)
--   conductor:reserved  hash  charge key -> reserved in all
--   conductor:leases  zset  id, score expiry (ms)
--   conductor:admitted_at  zset  id, score admitted (ms): handed over, not started
--   conductor:off_queue_at  zset  id, score (ms): first seen gone from its queue and not started
--   conductor:stop_requests  hash  id -> VERB|CAUSE|MESSAGE: what is to become of a running job whose body is
--       to be stopped
--   conductor:stop_grace  zset  id, score (ms): until when a worker that was told so may take to stop
--   conductor:preloaded  hash  id -> who is preloaded behind that attempt (preload.lua)
--   conductor:prefetched:WORKER  list  entries a worker of `workers` has taken and not started
--   conductor:failures:ID  hash  cause -> n, plus cause and message of the last one

local function note_charges(id, charges)
  local amounts = {}
  for key, amount in pairs(charges) do amounts[#amounts + 1] = cjson.encode(key) .. ':' .. whole(amount) end
  call('HSET', P .. 'charges', id, '{' .. table.concat(amounts, ',') .. '}')
end

-- What an attempt holds, added to what is held in all, and noted, so that `release` gives back exactly that.
local function charge(id, charges)
  for key, amount in pairs(charges) do call('HINCRBY', P .. 'reserved', key, whole(amount)) end
  note_charges(id, charges)
end

-- Out of our list once nobody hears of it any more and its hand is empty: its host was lost, and nobody was
-- left to strike it off.
local function strike_off_gone(worker)
  if call('EXISTS', R .. 'worker:' .. worker, P .. 'prefetched:' .. worker) == 0 then call('SREM', P .. 'workers', worker) end
end

-- An entry that a worker took and never started: the worker died, and so may have all who would look into its
-- hand. A worker is registered before it takes anything, and until its hand is empty.
local function drop_prefetched(entry)
  for _, worker in ipairs(call('SMEMBERS', P .. 'workers')) do
    call('LREM', P .. 'prefetched:' .. worker, 0, entry)
    strike_off_gone(worker)
  end
end

-- Give back what an admitted or running attempt holds, once: the reservation is the proof that it still does,
-- and returned.
local function release(id, rq_status)
  local text = call('HGET', P .. 'reservations', id)
  if not text then return end
  local held = cjson.decode(text)
  local amounts = cjson.decode(call('HGET', P .. 'charges', id))
  -- First what takes no memory: a Redis that is full lets a script go on that has begun, and a job must be
  -- able to end.
  call('HDEL', P .. 'reservations', id)
  call('HDEL', P .. 'charges', id)
  for key, amount in pairs(amounts) do
    if call('HINCRBY', P .. 'reserved', key, whole(-amount)) == 0 then call('HDEL', P .. 'reserved', key) end
  end
  if states.any('stop_requests') then call('HDEL', P .. 'stop_requests', id) end
  local entry, was_running = entry_of(id, held.attempt), held.state == 'running'
  if was_running then
    call('ZREM', P .. 'leases', id)
    if states.any('stop_grace') then call('ZREM', P .. 'stop_grace', id) end
    if states.any('preloaded') then call('HDEL', P .. 'preloaded', id) end
    call('HDEL', P .. 'running:' .. held.worker, id)
  else
    call('ZREM', P .. 'admitted_at', id)
    if states.any('off_queue_at') then call('ZREM', P .. 'off_queue_at', id) end
    drop_prefetched(entry)
  end
  rq_end(held.queue, entry, was_running and rq_status or nil, was_running)
  return held
end

local function note_failure(id, cause, message)
  call('HSET', P .. 'failures:' .. id, 'cause', cause, 'message', message)
end

local function note_orphan(id, dead)
  note_failure(id, 'dependency_dead', 'it comes after ' .. dead .. ', which did not make it')
end

-- Does it come after a job that is dead, cancelled or set aside? A verdict comes by itself, as far as it goes.
local function is_blocked(id)
  for _, other in ipairs(call('SMEMBERS', P .. 'waits_for:' .. id)) do
    local job = job_of(other)
    if job and (job.letter == 'x' or job.letter == 'c' or review.is_aside(job)) then return true end
  end
  for _, other in ipairs(call('SMEMBERS', P .. 'waits_for_end:' .. id)) do
    local job = job_of(other)
    if job and review.is_aside(job) then return true end
  end
  return false
end

-- One of the things `id` waited for is settled; when it was the last one, it may go.
local function settle_want(id, key, settled)
  if call('SREM', P .. key .. id, settled) == 0 then return end
  local job = job_of(id)
  if job and job.letter == 'v' and not is_blocked(id) then move(id, job, 'w') end
  if job and job.letter == 'w' then rest(id, job) end
end

-- Those who waited for a job that is done now.
local function free(id)
  local wanted = call('SMEMBERS', P .. 'waited_on_by:' .. id)
  if #wanted == 0 then return end
  call('DEL', P .. 'waited_on_by:' .. id)
  for _, other in ipairs(wanted) do
    settle_want(other, 'waits_for:', id)
    settle_want(other, 'waits_for_end:', id)
  end
end

-- To the dead letter ('x') or cancelled ('c'); the jobs in whose `after` it stands die with it, however deep.
local function bury(id, job, letter)
  move(id, job, letter)
  local deaths, before = {id}, {}
  while #deaths > 0 do
    local dead = table.remove(deaths)
    each_wanted_by(dead, function(other) if call('HEXISTS', P .. 'own_priority', other) == 1 then before[#before + 1] = other end end)
    for _, other in ipairs(call('SMEMBERS', P .. 'waited_on_by:' .. dead)) do
      settle_want(other, 'waits_for_end:', dead)
      if call('SISMEMBER', P .. 'waits_for:' .. other, dead) == 1 then
        local victim = job_of(other)
        if victim.letter == 'w' or victim.letter == 'v' then
          note_orphan(other, dead)
          move(other, victim, 'x')
          table.insert(deaths, other)
        end
      end
    end
  end
  take_back_priority(before)
end

-- Into review ('v'), out of wherever it waited; the jobs that come after it, dead or alive, wait there with
-- it.
local function shelve(id, job)
  unrest(id, job)
  move(id, job, 'v')
  local shelved = {id}
  while #shelved > 0 do
    local root = table.remove(shelved)
    for _, other in ipairs(call('SMEMBERS', P .. 'waited_on_by:' .. root)) do
      local follower = job_of(other)
      if follower.letter == 'w' and (call('SISMEMBER', P .. 'waits_for:' .. other, root) == 1
          or call('SISMEMBER', P .. 'waits_for_end:' .. other, root) == 1) then
        move(other, follower, 'v')
        table.insert(shelved, other)
      end
    end
  end
end

-- What a job still waits for, by the state things are in now. Unknown counts as unmet; dead takes it along,
-- and so does what is set aside. `priority`: its own; then also whether it is above that of one of them.
local function want(id, key, others, priority)
  local doom, is_shelved, is_above
  for _, other in ipairs(others) do
    local job = job_of(other)
    local letter = job and job.letter
    local is_over = letter == 'x' or letter == 'c'
    if letter ~= 'd' and not (is_over and key == 'waits_for_end:') then
      call('SADD', P .. key .. id, other)
      call('SADD', P .. 'waited_on_by:' .. other, id)
      if is_over then doom = other end
      is_shelved = is_shelved or (job and review.is_aside(job))
      is_above = is_above or (job and priority and priority_of(job.class) < priority)
    end
  end
  return doom, is_shelved, is_above
end

-- Into the backlog, behind what it comes after. `over`: '' (or nil), or the letter of one that is over
-- already.
local function begin_to_wait(id, job, after, after_ended, over, not_before)
  local priority = priority_of(job.class)
  local doom, is_shelved, is_above = want(id, 'waits_for:', after, priority)
  local _, is_shelved_too, is_above_too = want(id, 'waits_for_end:', after_ended, priority)
  if over and over ~= '' then
    bury(id, job, over)
  elseif doom then
    note_orphan(id, doom)
    bury(id, job, 'x')
  elseif is_shelved or is_shelved_too then
    shelve(id, job)
  else
    rest(id, job, not_before)
  end
  if (is_above or is_above_too) and (job.letter == 'w' or job.letter == 'v') then lift_before(id, job.class) end
end

-- Those who died with a job that lives again, or went into review with it: each one comes back unless it
-- wants another.
local function revive(id)
  local risen = {id}
  while #risen > 0 do
    for _, other in ipairs(call('SMEMBERS', P .. 'waited_on_by:' .. table.remove(risen))) do
      local job = job_of(other)
      local died_with = job.letter == 'x' and call('HGET', P .. 'failures:' .. other, 'cause') == 'dependency_dead'
      local waits_with = job.letter == 'v' and call('EXISTS', P .. 'waits_for:' .. other, P .. 'waits_for_end:' .. other) > 0
      if (died_with or waits_with) and not is_blocked(other) then
        if died_with then call('DEL', P .. 'failures:' .. other) end
        fit(other, job)
        move(other, job, 'w')
        rest(other, job)
        lift_before(other, job.class)
        table.insert(risen, other)
      end
    end
  end
end

-- The operator's last word on a running job, if any: cancel, fail or requeue, with a cause and a message.
local function asked_of(id)
  local text = states.any('stop_requests') and call('HGET', P .. 'stop_requests', id)
  if not text then return nil end
  return string.match(text, '^(%a+)|([%a_]*)|(.*)$')
end

-- What the operator asked for becomes of a job that holds nothing (any more).
local function as_asked(id, job, verb, cause, message)
  if verb == 'requeue' then
    fit(id, job, true)
    move(id, job, 'w')
    rest(id, job)
  else
    note_failure(id, cause, message)
    bury(id, job, verb == 'cancel' and 'c' or 'x')
  end
end

-- An attempt ended without a receipt that counts: back to the backlog, or to its grave. The operator's word
-- wins. `class`: the id and descriptor of the class it comes back into (its needs were raised); '' for its
-- own. Returns what it held; nil where it was the operator who ended it. `is_free`: it was others' fault, and
-- counts for nothing.
local function lose(id, job, cause, message, is_dead, delay_ms, class, descriptor, is_free)
  local verb, asked_cause, asked_message = asked_of(id)
  if cause == 'cancelled' and not verb then verb, asked_cause, asked_message = 'cancel', cause, message end
  local is_put_off = not verb and not is_dead and (is_free or PUT_OFF[cause])
  local is_forgotten = is_put_off or verb == 'requeue'
  local held = release(id, not is_forgotten and (verb == 'cancel' and 'canceled' or 'failed') or nil)
  if held and not is_forgotten then rq_say(held, id, (asked_cause or cause) .. ': ' .. (asked_message or message)) end
  if verb ~= 'requeue' and not (is_free and not verb) then call('HINCRBY', P .. 'failures:' .. id, asked_cause or cause, 1) end
  if verb then
    as_asked(id, job, verb, asked_cause, asked_message)
  elseif is_dead then
    note_failure(id, cause, message)
    bury(id, job, 'x')
  else
    note_failure(id, cause, message)
    if class ~= '' then job.class = class_number(class, descriptor, backlog_of(job.class)) end
    fit(id, job, true)
    move(id, job, 'w')
    rest(id, job, now_ms + delay_ms)
  end
  ring()
  return not verb and held or nil
end
