-- Shared: what became of the jobs of each kind (task and parameters) under each version of their code: how
-- many canaries ended well, how often it failed alike, whether its breaker is open. Needs base.lua, rq.lua
-- and steps.lua.
--   conductor:breakers  hash  KIND@CODE -> JSON, as `Record` of core/failures/failure_counts.py; only of
--       kinds with canaries or failures
-- Counted in the very step that ends the attempt, so that a leader that was not there has missed nothing.

-- More kinds than this: the one that was quiet longest is forgotten. And of one kind so many unlike failures.
local MOST_KINDS, MOST_UNLIKE = 512, 64
-- As core/failures/failure_counts.py has them: of failures at one line more are wanted where successes came
-- between.
local MORE_A_BREAK, MOST_TIMES, MOST_BREAKS = 3, 4, 100
local KINDS = P .. 'breakers'

local function kind_field(held, code)
  return held.kind .. '@' .. ((code and code ~= '') and code or held.code or '')
end

-- As they stand, by what this step has read and written: it moves many jobs of few kinds. false: none.
local kinds_seen = {}

local function kind_text(field)
  if kinds_seen[field] == nil then kinds_seen[field] = call('HGET', KINDS, field) end
  return kinds_seen[field]
end

local function read_kind(field)
  local text = kind_text(field)
  return text and cjson.decode(text)
end

local function forget_kind(field)
  call('HDEL', KINDS, field)
  kinds_seen[field] = false
end

local function write_kind(field, found)
  kinds_seen[field] = cjson.encode(found)
  if call('HSET', KINDS, field, kinds_seen[field]) == 0 or call('HLEN', KINDS) <= MOST_KINDS then return end
  local all, quiet, quiet_at = call('HGETALL', KINDS), nil, math.huge
  for i = 1, #all, 2 do
    local at = cjson.decode(all[i + 1]).last_at or 0
    if at < quiet_at and all[i] ~= field then quiet, quiet_at = all[i], at end
  end
  forget_kind(quiet)
end

-- The records of a kind, under whatever code.
local function each_code(kind, visit)
  for _, field in ipairs(call('HKEYS', KINDS)) do
    if string.sub(field, 1, #kind + 1) == kind .. '@' then visit(field, read_kind(field)) end
  end
end

-- What is handed over of a kind and not started goes back at no cost: there is no need to see that fail too.
local function take_back(kind)
  for _, id in ipairs(call('ZRANGE', P .. 'admitted_at', 0, -1)) do
    if cjson.decode(call('HGET', P .. 'reservations', id)).kind == kind then
      local job = job_of(id)
      release(id)
      move(id, job, 'w')
      rest(id, job)
    end
  end
end

-- How often this one was seen. Where there are too many sorts, those seen once are forgotten, or all: then
-- what led may be gone with them.
local function count_alike(found, what)
  local alike, unlike, often, kept = found.alike or {}, 0, 0, {}
  local n = (alike[what] or 0) + 1
  for known, count in pairs(alike) do
    unlike = unlike + 1
    if count > 1 then kept[known], often = count, often + 1 end
  end
  if n == 1 and unlike >= MOST_UNLIKE then
    alike = often < MOST_UNLIKE and kept or {}
    found.failed = 0
  end
  alike[what] = n
  found.alike = alike
  return n
end

-- An attempt failed in a way that counts (`fingerprint` not empty). `held`: its reservation, nil where there
-- was none. `place`: its cause and the line where it was raised; '' (or nil) where that is not known.
local function kind_failed(held, code, fingerprint, cause, message, place)
  if not held or not held.kind or not fingerprint or fingerprint == '' then return end
  local field, is_probe = kind_field(held, code), held.role == 'probe'
  local found = read_kind(field) or {}
  local n, breaker = count_alike(found, fingerprint), held.breaker or 0
  if place and place ~= '' then
    local spared = math.min((MOST_TIMES - 1) * breaker, MORE_A_BREAK * (found.breaks or 0))
    n = math.max(n, count_alike(found, place) - spared)
  end
  found.since = found.since or now_ms / 1000
  found.last_at = now_ms / 1000
  found.is_reviewed = nil
  if n >= (found.failed or 0) then found.failed, found.cause, found.message = n, cause, message end
  if is_probe then found.probes = (found.probes or 0) + 1 end
  local opens = not found.opened_at and breaker > 0 and (n >= breaker or is_probe)
  if opens then found.opened_at = now_ms / 1000 end
  write_kind(field, found)
  if opens then take_back(held.kind) end
end

-- One more of a kind's first ones waits for a person's word, or (-1) none any more.
function review.count(seen, by)
  local field = kind_field(seen, seen.code)
  local found = read_kind(field) or {}
  found.shown = math.max(0, (found.shown or 0) + by)
  found.last_at = now_ms / 1000
  if found.shown == 0 then found.shown = nil end
  if found.shown or (found.verified or 0) > 0 or (found.failed or 0) > 0 or found.opened_at or (found.breaks or 0) > 0 then
    write_kind(field, found)
  else
    forget_kind(field)
  end
end

-- From `move` of base.lua. What a person turned down counts no more, whoever still hands it in.
function review.left(id, job, letter)
  local seen = call('HGET', P .. 'review:' .. id, 'held')
  if seen then review.count(cjson.decode(seen), -1) end
  call('DEL', P .. 'review:' .. id)
  if letter ~= 'd' and letter ~= 'v' then
    job.accepted = ''
    call('HSET', P .. 'redone', id, job.attempts)
  end
end

-- An attempt ended well: whatever failed alike before it is over.
local function kind_passed(held, code)
  if not held or not held.kind then return end
  local field, is_tried = kind_field(held, code), held.role ~= nil and held.role ~= ''
  local found = read_kind(field)
  if held.role == 'probe' then
    each_code(held.kind, function(other, record) if record.opened_at then forget_kind(other) end end)
  end
  if not is_tried and not (found and (found.failed or 0) > 0) then return end
  local verified = (found and found.verified or 0) + (is_tried and 1 or 0)
  local breaks = 0
  if found and held.role ~= 'probe' then
    breaks = math.min((found.breaks or 0) + ((found.failed or 0) > 0 and 1 or 0), MOST_BREAKS)
  end
  local shown = found and found.shown or nil
  if verified > 0 or breaks > 0 or shown then
    write_kind(field, {verified = verified, breaks = breaks, shown = shown, last_at = now_ms / 1000})
  else
    forget_kind(field)
  end
end

-- May this one be handed over, by a breaker that may have opened since it was decided? The reservation as
-- JSON.
local function kind_objection(reservation)
  local kind = string.match(reservation, '"kind":"([^"]*)"')
  if not kind or string.find(reservation, '"role":"probe"', 1, true) then return nil end
  local text = kind_text(kind .. '@' .. (string.match(reservation, '"code":"([^"]*)"') or ''))
  return text and string.find(text, '"opened_at"', 1, true) and 'its kind was closed: ' .. kind
end

-- The operator's word: the next try at once, and as many as at first.
local function kind_resumed(kind)
  local is_known = false
  each_code(kind, function(field, record)
    if record.opened_at then
      record.probes, record.is_reviewed, record.last_at = nil, nil, 0
      write_kind(field, record)
      is_known = true
    end
  end)
  return is_known
end
