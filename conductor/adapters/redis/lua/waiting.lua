-- Shared: where a waiting job rests, in its class or behind a back-off, and the priority that it inherits
-- from those that wait for it. Needs base.lua and rq.lua.
--   conductor:class:C  zset  id, score seq: waiting and free to go; C is the class number
--   conductor:ready  set  class numbers with such jobs
--   conductor:delayed  zset  id, score not-before (ms)
--   conductor:class_ids  hash  class id -> number
--   conductor:classes  hash  number -> descriptor JSON; conductor:class_backlog  number -> backlog
--   conductor:own_priority  hash  id -> its own priority, of jobs that go as of a higher one: handed down by
--       those that wait for them

local function class_number(id, descriptor, backlog)
  local number = call('HGET', P .. 'class_ids', id)
  if number then return number end
  number = tostring(call('HLEN', P .. 'class_ids') + 1)
  call('HSET', P .. 'class_ids', id, number)
  call('HSET', P .. 'classes', number, descriptor)
  call('HSET', P .. 'class_backlog', number, backlog)
  return number
end

-- Class -> how many rest there, once that was asked: a tick takes many jobs out of few classes.
local resting = {}

-- A waiting job goes where it belongs: nowhere while it waits for others, else to `delayed` or to its class.
local function rest(id, job, not_before)
  if call('EXISTS', P .. 'waits_for:' .. id, P .. 'waits_for_end:' .. id) > 0 then return end
  if not_before and not_before > now_ms then
    call('ZADD', P .. 'delayed', whole(not_before), id)
    return
  end
  call('ZADD', P .. 'class:' .. job.class, job.seq, id)
  resting[job.class] = nil
  call('SADD', P .. 'ready', job.class)
end

-- The opposite: out of wherever it waits. What it waits *for* stays known, a later retry needs it.
local function unrest(id, job)
  local class = P .. 'class:' .. job.class
  if call('ZREM', class, id) == 0 then
    call('ZREM', P .. 'delayed', id)
    return
  end
  resting[job.class] = resting[job.class] and resting[job.class] - 1 or call('ZCARD', class)
  if resting[job.class] == 0 then call('SREM', P .. 'ready', job.class) end
end

-- ── priority that is handed down ──
-- A job that waits goes at least as of the priority of those that wait for it, through however many, of
-- whatever manifest.

local descriptors_seen = {}
local function descriptor_of(class)
  local text = descriptors_seen[class] or call('HGET', P .. 'classes', class)
  descriptors_seen[class] = text
  return text
end

local priorities_seen = {}
local function priority_of(class)
  local priority = priorities_seen[class] or tonumber(string.match(descriptor_of(class), '"priority":(-?%d+)') or '0')
  priorities_seen[class] = priority
  return priority
end

-- The class of the same jobs with another priority: «BASE^PRIORITY», or the one that it was made of.
local function class_with(class, priority)
  local text = descriptor_of(class)
  local base = string.match(text, '"id":"([^"^]*)')
  local made_of = call('HGET', P .. 'class_ids', base)
  if made_of and priority_of(made_of) == priority then return made_of end
  local id, number = base .. '^' .. whole(priority), '"priority":' .. whole(priority)
  local count
  text = string.gsub(text, '"id":"[^"]*"', '"id":"' .. id .. '"', 1)
  text, count = string.gsub(text, '"priority":%-?%d+', number, 1)
  if count == 0 then text = '{' .. number .. ',' .. string.sub(text, 2) end
  return class_number(id, text, backlog_of(class))
end

-- The highest priority of those that wait for it; `enough`: whoever has so much ends the search.
local function lent_to(id, enough)
  local most
  for _, other in ipairs(call('SMEMBERS', P .. 'waited_on_by:' .. id)) do
    local job = job_of(other)
    if job and (job.letter == 'w' or job.letter == 'v') and (call('SISMEMBER', P .. 'waits_for:' .. other, id) == 1
        or call('SISMEMBER', P .. 'waits_for_end:' .. other, id) == 1) then
      local priority = priority_of(job.class)
      if not most or priority > most then most = priority end
      if enough and most >= enough then return most end
    end
  end
  return most
end

-- The class that it belongs into now, and whether that is another one. `is_any`: also where it is not known
-- to have inherited any. It is not resting, or not put where it rests: that is the caller's.
local function fit(id, job, is_any)
  local own = call('HGET', P .. 'own_priority', id)
  if not own and not is_any then return false end
  local now = priority_of(job.class)
  own = tonumber(own or now)
  local priority = math.max(own, lent_to(id, own < now and now or nil) or own)
  if priority == now then return false end
  if priority == own then call('HDEL', P .. 'own_priority', id) else call('HSET', P .. 'own_priority', id, own) end
  job.class = class_with(job.class, priority)
  return true
end

-- Into another class, wherever it waits. `change` sets it, and says whether it did.
local function reclassed(id, job, change)
  local class, not_before = job.class, call('ZSCORE', P .. 'delayed', id)
  if not change() then return false end
  local changed = job.class
  job.class = class
  if job.letter == 'w' then unrest(id, job) end
  job.class = changed
  call('HSET', P .. 'state', id, state_line(job))
  if job.letter == 'w' then rest(id, job, tonumber(not_before or 0)) end
  return true
end

local function each_wanted_by(id, visit)
  for _, key in ipairs({'waits_for:', 'waits_for_end:'}) do
    for _, other in ipairs(call('SMEMBERS', P .. key .. id)) do visit(other) end
  end
end

-- What it comes after, through however many, goes at least as it does.
local function lift_before(id, class)
  local priority, above = priority_of(class), {id}
  while #above > 0 do
    each_wanted_by(table.remove(above), function(other)
      local job = job_of(other)
      if not job or (job.letter ~= 'w' and job.letter ~= 'v') then return end
      local own = priority_of(job.class)
      if own < priority and reclassed(other, job, function() job.class = class_with(job.class, priority) return true end) then
        call('HSETNX', P .. 'own_priority', other, own)
        above[#above + 1] = other
      end
    end)
  end
end

-- Those that one (or several) came after which waits no more: what it had handed down is taken back.
local function take_back_priority(others)
  while #others > 0 do
    local id = table.remove(others)
    local job = job_of(id)
    if job and job.letter ~= 'a' and job.letter ~= 'r' and job.letter ~= 'd'
        and reclassed(id, job, function() return fit(id, job) end) then
      each_wanted_by(id, function(other) others[#others + 1] = other end)
    end
  end
end

-- So many at once: a limit that opened, or an API that is back, lets thousands go at the same moment. The
-- bell rings for the rest.
local DUE = 1000

local function promote_due()
  local due = call('ZRANGEBYSCORE', P .. 'delayed', '-inf', whole(now_ms), 'LIMIT', 0, DUE)
  if #due == 0 then return end
  call('ZREM', P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do rest(id, job_of(id)) end
  if #due == DUE then ring() end
end
