-- Shared: waiting -> admitted, in the step of the leader (admit.lua) or in that which ends its predecessor
-- (turn.lua). Needs base.lua, rq.lua, chains.lua, history.lua, steps.lua and breakers.lua.
--   conductor:successors  hash  id of a running job -> msgpack {epoch, attempt, until (ms), RQ fields,
--       admission, RQ data, when that tick looked (ms)}: who goes next where that attempt ends well. Named by
--       the last tick; it waits, and holds nothing.
--   conductor:successions  int  successors handed over so far
--   conductor:node:NODE  string  its report: which cards its devices are, and which node-side gates are closed
--   conductor:revised  set  ids of waiting jobs that took another line since they were handed over last
--       (revise.lua)
local created_ms
local longest_ms = 0

-- A ceiling is over one sum, or over those of all roots on one file system («NODE/published+scratch:bytes»).
local function sums_of(key)
  local place, roots = string.match(key, '^(.*/)([^/]*%+[^/]*):bytes$')
  if not place then return {key} end
  local names = {}
  for root in string.gmatch(roots, '[^+]+') do names[#names + 1] = place .. root .. ':bytes' end
  return names
end

-- Charge key -> bytes that came onto that disk since a tick looked; -1: not asked. To its ceilings they are
-- still in the sums, as what their writers held. What a tick lets in fits beside those in any case: only of
-- claims it does not know.
local LATELY = 64
local function written_since(at_ms)
  local found = {}
  if at_ms < 0 then return found end
  local rows = call('LRANGE', P .. 'written', -LATELY, -1)
  if #rows == LATELY and tonumber(string.match(rows[1], '^%d+')) >= at_ms then rows = call('LRANGE', P .. 'written', 0, -1) end
  for _, text in ipairs(rows) do
    local ms, node, root, bytes = string.match(text, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
    local key = node .. '/' .. root .. ':bytes'
    if tonumber(ms) >= at_ms then found[key] = (found[key] or 0) + tonumber(bytes) end
  end
  return found
end

-- The first by name. `written`: as above.
local function over_ceiling(charges, ceilings, written)
  local names, of, totals = {}, {}, {}
  for key in pairs(ceilings) do
    for _, name in ipairs(sums_of(key)) do
      names[#names + 1] = name
      of[#names] = key
    end
  end
  if #names == 0 then return nil end
  local sums, over = call('HMGET', P .. 'reserved', unpack(names)), nil
  for i, name in ipairs(names) do
    totals[of[i]] = (totals[of[i]] or 0) + tonumber(sums[i] or '0') + (charges[name] or 0) + (written[name] or 0)
  end
  for key, total in pairs(totals) do
    if total > ceilings[key] and (not over or key < over) then over = key end
  end
  return over
end

-- `preloaded`: the number under which it was preloaded, where that is taken up here and has not begun.
local function objection(id, job, attempt, charges, ceilings, written, preloaded)
  if not job or not call('ZSCORE', P .. 'class:' .. job.class, id) then return 'not waiting' end
  if attempt ~= math.max(job.attempts, number_floor()) + 1 and not (attempt == job.attempts and attempt == preloaded) then
    return 'attempt ' .. attempt .. ' is not its next'
  end
  local key = over_ceiling(charges, ceilings, written)
  return key and 'over ceiling ' .. key
end

-- Decided for the line that it had before? Then what was reserved may not be what it needs.
local function is_of_another_line(id, job, reservation)
  return states.any('revised') and call('SISMEMBER', P .. 'revised', id) == 1
    and call('HGET', P .. 'class_ids', cjson.decode(reservation).class_id) ~= job.class
end

-- As admitted now.
local function admitted(reservation)
  return string.sub(reservation, 1, -2) .. ',"admitted_at":' .. seconds(now_ms) .. '}'
end

-- waiting -> admitted, whoever asked whether it may. Its entry, which is in no queue yet.
-- `admission`: {id, attempt, queue, Reservation JSON, charges, ceilings, RQ description, node}. `job`: as it
-- waits.
local function take_place(admission, job, fields, data)
  local id, attempt, queue, reservation, charges, _, description, node = unpack(admission)
  created_ms = created_ms or tonumber(call('GET', P .. 'created_ms') or '0')
  -- A retry waits for its own sake: only first waits tell what is usual here.
  if job.attempts == 0 then longest_ms = math.max(longest_ms, now_ms - created_ms - tonumber(job.since)) end
  unrest(id, job)
  if states.any('revised') then call('SREM', P .. 'revised', id) end
  job.attempts = attempt
  note_number(attempt)
  stepped()
  move(id, job, 'a')
  charge(id, charges)
  call('HSET', P .. 'reservations', id, admitted(reservation))
  chain_begun(id, node)
  call('ZADD', P .. 'admitted_at', whole(now_ms), id)
  local entry = entry_of(id, attempt)
  call('HSET', R .. 'job:' .. entry, 'data', data, 'description', description, 'origin', queue, 'created_at', at_now(),
    'enqueued_at', at_now(), unpack(fields))
  rq_knows(queue)
  return entry
end

-- Node -> its report, as text and read; false: it has none.
local reports = {}
local function report_of(node)
  if reports[node] == nil then reports[node] = {text = call('GET', P .. 'node:' .. node)} end
  return reports[node]
end

local function read(report)
  report.read = report.read or cjson.decode(report.text)
  return report.read
end

-- A node-side gate that closed since a tick looked, or a device that went into quarantine: nothing starts
-- there.
local function closed_objection(held, said)
  local is_held = {[''] = true}
  for _, key in ipairs(held.devices or {}) do is_held[key] = true end
  for _, obstacle in ipairs(said.obstacles or {}) do
    local key = obstacle.device or ''
    local place = held.node .. (key == '' and '' or '/') .. key
    if is_held[key] then return place .. ' starts nothing now: ' .. obstacle.words end
  end
  for _, device in ipairs(said.devices or {}) do
    local key, why = 'gpu' .. device.index, device.quarantined
    if is_held[key] and type(why) == 'string' then return held.node .. '/' .. key .. ' starts nothing now: ' .. why end
  end
end

-- A card that was swapped or is gone since a tick looked: nobody runs on the one that has its name.
local function device_objection(held, devices)
  local there = {}
  for _, device in ipairs(devices) do there['gpu' .. device.index] = device.uuid end
  for i, key in ipairs(held.uuids and held.devices or {}) do
    if there[key] ~= held.uuids[i] then return held.node .. '/' .. key .. ' is not ' .. held.uuids[i] .. ' any more' end
  end
end

-- What its node has said since a tick looked. nil: nothing against it.
local function report_objection(reservation, node)
  local report = report_of(node)
  if not report.text then return nil end
  local is_closed = string.find(report.text, '"obstacles":[{', 1, true) or string.find(report.text, '"quarantined":"', 1, true)
  if not (is_closed or string.find(reservation, '"uuids":', 1, true)) then return nil end
  local held, said = cjson.decode(reservation), read(report)
  return is_closed and closed_objection(held, said) or device_objection(held, said.devices or {})
end

-- For a node whose workers are not all started; nobody hears it where they are. Whom an older ACL does not let
-- ring goes on: the node looks for itself every few seconds.
local is_rung = {}
local function ring_at(node)
  if is_rung[node] then return end
  is_rung[node] = true
  redis.pcall('PUBLISH', P .. 'handed_over:' .. node, '')
end

-- Deeper ones hold jobs that are over in milliseconds.
local SHALLOW = 16

-- Came `other`, which lies in the queue, after it, and with no higher priority?
local function came_after(other, job)
  return other and priority_of(other.class) <= priority_of(job.class) and tonumber(other.seq) > tonumber(job.seq)
end

-- Into its queue. What was handed over before and comes back goes ahead of all that came after it and was handed
-- over meanwhile: it does not wait once more, behind all of them. An older ACL knows no LINSERT.
local function enqueue(queue, entry, job, is_back)
  local key, behind = R .. 'queue:' .. queue, {}
  local entries = is_back and call('LLEN', key) <= SHALLOW and call('LRANGE', key, 0, -1) or {}
  for at, other in ipairs(entries) do
    if came_after(job_of(string.match(other, '^([%w_-]+)-a%d+$') or ''), job) then
      for _ = at, #entries do behind[#behind + 1] = call('RPOP', key) end
      break
    end
  end
  call('RPUSH', key, entry)
  for at = #behind, 1, -1 do call('RPUSH', key, behind[at]) end
end

-- '' or why not.
local function hand_over(admission, fields, data, written, preloaded)
  local id, attempt, queue, reservation, charges, ceilings = unpack(admission)
  local job = job_of(id)
  local why_not = objection(id, job, attempt, charges, ceilings, written, preloaded) or kind_objection(reservation)
    or report_objection(reservation, admission[8])
  if why_not then return why_not end
  if is_of_another_line(id, job, reservation) then return 'its line changed meanwhile' end
  local is_back = job.attempts > 0
  enqueue(queue, take_place(admission, job, fields, data), job, is_back)
  ring_at(admission[8])
  return ''
end

-- The operator's word, and a rebuild, hold at once: a tick would only see them the next time it looks.
local function is_held_back(reservation)
  local held = cjson.decode(reservation)
  if call('EXISTS', P .. 'rebuild_grace') == 1 or call('SISMEMBER', P .. 'paused', held.lane) == 1 then return true end
  local job = call('EXISTS', P .. 'paused') == 1 and job_of(held.job_id)
  if job and call('SISMEMBER', P .. 'paused', 'backlog:' .. backlog_of(job.class)) == 1 then return true end
  for _, device in ipairs(held.devices or {}) do
    if call('SISMEMBER', P .. 'paused', held.node .. '/' .. device) == 1 then return true end
  end
  return call('SISMEMBER', P .. 'draining', '*') == 1 or call('SISMEMBER', P .. 'draining', held.node) == 1
end

-- What is named was named for a world without the one that goes now: there are no successors until the next
-- tick, which the end of the attempt has rung for.
local function count_succession()
  call('INCR', P .. 'successions')
  call('DEL', P .. 'successors')
end

-- A job was put, of a class that was expected: is it handed over where the last tick would have started it?
-- `data`: RQ's, of its first attempt.
local function take_offer(id, class_id, data)
  local text = states.any('offers') and call('HGET', P .. 'offers', class_id)
  if not text then return false end
  local epoch, until_ms, fields, admission = unpack(cmsgpack.unpack(text))
  if now_ms > until_ms or fenced(epoch) or not is_settled() then return false end
  local reservation = string.gsub(admission[4], '"job_id":""', '"job_id":"' .. id .. '"', 1)
  admission[1] = id
  admission[4] = string.sub(reservation, 1, -2) .. ',"since":' .. seconds(now_ms) .. '}'
  admission[7] = string.match(reservation, '"task":"([^"]*)"') .. ' ' .. string.sub(id, 1, 8) .. ' attempt ' .. admission[2]
  if is_held_back(admission[4]) or hand_over(admission, fields, data, {}) ~= '' then return false end
  count_succession()
  call('DEL', P .. 'offers')
  return true
end

-- An attempt ended well: who was named for that goes into the queue.
-- `preloaded`: who was preloaded behind it, and has not begun; `own`: what it left itself is in the ceilings
-- (files_written).
local function succeed(id, attempt, preloaded, own)
  local text = states.any('successors') and call('HGET', P .. 'successors', id)
  if not text then return end
  call('HDEL', P .. 'successors', id)
  local epoch, of_attempt, until_ms, fields, admission, data, looked_ms = unpack(cmsgpack.unpack(text))
  if of_attempt ~= attempt or now_ms > until_ms or fenced(epoch) or is_held_back(admission[4]) then return end
  local number = preloaded and preloaded.id == admission[1] and preloaded.attempt or nil
  local written = call('EXISTS', P .. 'preloaded') == 1 and written_since(looked_ms or -1) or {}
  own = next(written) and own and own ~= '' and cjson.decode(own) or {outputs = {}}
  for path, bytes in pairs(own.outputs) do
    local key = own.node .. '/' .. root_of(path) .. ':bytes'
    if written[key] then written[key] = written[key] - bytes end
  end
  if hand_over(admission, fields, data, written, number) == '' then count_succession() end
end
