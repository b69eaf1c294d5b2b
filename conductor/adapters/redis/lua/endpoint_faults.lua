-- Shared: how endpoints fare that are not well, as core/rates/endpoint_breaker.py has it. Needs base.lua,
-- rq.lua, chains.lua and steps.lua.
--   conductor:endpoint_faults  hash  rate key -> EndpointFault JSON; of those whose last call was not
--       answered
-- Counted in the very step that tells of a call, so that who comes next finds the gate as it is.

local PLIGHTS = P .. 'endpoint_faults'
-- Seconds of the first wait and of the longest, where the server does not say; and when 5xx are the
-- endpoint's own.
local BACK_OFF = {busy = {5, 300}, down = {5, 300}, refuses = {60, 1800}, faulty = {5, 300}}
local FAULTS = 3

local function endpoint_fault_closes_for(endpoint_fault, told)
  local said, rule, times = told.closes_for_s or 0, BACK_OFF[told.trouble], endpoint_fault.times
  if said > 0 or not rule then return said end
  if told.trouble == 'faulty' then
    times = times - (FAULTS - 1)
    if times < 1 or not endpoint_fault.is_shared then return 0 end
  end
  return math.min(rule[2], rule[1] * 2 ^ math.min(times - 1, 32))
end

-- One call was told of. For how many seconds nobody asks after it.
local function endpoint_fault_told(told)
  local now, text = now_ms / 1000, call('HGET', PLIGHTS, told.key)
  local known = text and cjson.decode(text)
  local is_next = not known or now - (told.ago_s or 0) - (told.took_s or 0) >= (known.last_at or 0)
  if not told.trouble then
    if known and (told.outcome == 'ok' or told.outcome == 'failed') then
      if is_next then
        call('HDEL', PLIGHTS, told.key)
      elseif known.trouble == 'limited' then
        known.times = 1
        call('HSET', PLIGHTS, told.key, cjson.encode(known))
      end
    end
    return told.closes_for_s or 0
  end
  known = known or {trouble = told.trouble, words = told.words, since = now, job_id = told.job_id}
  if is_next or known.trouble == 'faulty' then known.trouble, known.words = told.trouble, told.words end
  known.times = (known.times or 0) + (is_next and 1 or 0)
  known.is_shared = known.is_shared or (known.job_id or '') ~= (told.job_id or '') or nil
  known.last_at, known.job_id = now, told.job_id
  call('HSET', PLIGHTS, told.key, cjson.encode(known))
  return endpoint_fault_closes_for(known, told)
end

-- What is handed over and not started, and would call it, goes back at no cost, and so does its place in the
-- budgets.
local function take_back_callers(key)
  local keys_of = {}
  for _, id in ipairs(call('ZRANGE', P .. 'admitted_at', 0, -1)) do
    local job = job_of(id)
    local rates = keys_of[job.class]
    if not rates then
      rates = cjson.decode(call('HGET', P .. 'classes', job.class)).needs.rates or {}
      keys_of[job.class] = rates
    end
    if rates[key] then
      local held = release(id)
      move(id, job, 'w')
      rest(id, job)
      for each in pairs(rates) do
        local told = {key = each, outcome = 'uncalled', job_id = id, attempt = held.attempt}
        call('RPUSH', P .. 'reported_calls', cjson.encode(told))
      end
    end
  end
end
