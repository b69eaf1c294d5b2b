-- Shared: waiting -> admitted, in the step of the leader (admit.lua) or in that which ends its predecessor (turn.lua).
-- Needs base.lua, rq.lua, chains.lua, steps.lua and kinds.lua.
--   conductor:heirs      hash  id of a running job -> msgpack {epoch, attempt, until (ms), RQ fields, admission, RQ data}: who
--                        goes next where that attempt ends well. Named by the last tick; it waits, and holds nothing.
--   conductor:handed_on  int   heirs handed over so far
local born
local longest_ms = 0

local function over_ceiling(charges, ceilings)
  local names = {}
  for key in pairs(ceilings) do names[#names + 1] = key end
  if #names == 0 then return nil end
  local sums = call('HMGET', P .. 'sum', unpack(names))
  for i, key in ipairs(names) do
    if tonumber(sums[i] or '0') + (charges[key] or 0) > ceilings[key] then return key end
  end
end

-- `lined`: the number under which it was lined up, where that is taken up here and has not begun.
local function objection(id, job, attempt, charges, ceilings, lined)
  if not job or not call('ZSCORE', P .. 'class:' .. job.class, id) then return 'not waiting' end
  if attempt ~= job.attempts + 1 and not (attempt == job.attempts and attempt == lined) then
    return 'attempt ' .. attempt .. ' is not its next'
  end
  local key = over_ceiling(charges, ceilings)
  return key and 'over ceiling ' .. key
end

-- As admitted now.
local function admitted(reservation)
  return string.sub(reservation, 1, -2) .. ',"admitted_at":' .. seconds(now_ms) .. '}'
end

-- waiting -> admitted, whoever asked whether it may. Its entry, which is in no queue yet.
-- `admission`: {id, attempt, queue, Reservation JSON, charges, ceilings, RQ description, node}.
local function take_place(admission, fields, data)
  local id, attempt, queue, reservation, charges, _, description, node = unpack(admission)
  local job = job_of(id)
  born = born or tonumber(call('GET', P .. 'born') or '0')
  -- A retry waits for its own sake: only first waits tell what is usual here.
  if job.attempts == 0 then longest_ms = math.max(longest_ms, now_ms - born - tonumber(job.since)) end
  unrest(id, job)
  job.attempts = attempt
  move(id, job, 'a')
  charge(id, charges)
  call('HSET', P .. 'active', id, admitted(reservation))
  chain_begun(id, node)
  call('ZADD', P .. 'handed', whole(now_ms), id)
  local entry = entry_of(id, attempt)
  call('HSET', 'rq:job:' .. entry, 'data', data, 'description', description, 'origin', queue, 'created_at', at_now(),
    'enqueued_at', at_now(), unpack(fields))
  call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  return entry
end

-- '' or why not.
local function hand_over(admission, fields, data, lined)
  local id, attempt, queue, reservation, charges, ceilings = unpack(admission)
  local why_not = objection(id, job_of(id), attempt, charges, ceilings, lined) or kind_objection(reservation)
  if why_not then return why_not end
  call('RPUSH', 'rq:queue:' .. queue, take_place(admission, fields, data))
  return ''
end

-- The operator's word, and a rebuild, hold at once: a tick would only see them the next time it looks.
local function is_held_back(reservation)
  local held = cjson.decode(reservation)
  if call('EXISTS', P .. 'settling') == 1 or call('SISMEMBER', P .. 'paused', held.lane) == 1 then return true end
  for _, device in ipairs(held.devices or {}) do
    if call('SISMEMBER', P .. 'paused', held.node .. '/' .. device) == 1 then return true end
  end
  return call('SISMEMBER', P .. 'draining', '*') == 1 or call('SISMEMBER', P .. 'draining', held.node) == 1
end

-- What is named was named for a world without the one that goes now: there are no heirs until the next tick, which the
-- end of the attempt has rung for.
local function handed_on()
  call('INCR', P .. 'handed_on')
  call('DEL', P .. 'heirs')
end

-- An attempt ended well: who was named for that goes into the queue.
-- `lined`: who was lined up behind it, and has not begun.
local function succeed(id, attempt, lined)
  local text = call('HGET', P .. 'heirs', id)
  if not text then return end
  call('HDEL', P .. 'heirs', id)
  local epoch, of_attempt, until_ms, fields, admission, data = unpack(cmsgpack.unpack(text))
  if of_attempt ~= attempt or now_ms > until_ms or fenced(epoch) or is_held_back(admission[4]) then return end
  local number = lined and lined.id == admission[1] and lined.attempt or nil
  if hand_over(admission, fields, data, number) == '' then handed_on() end
end
