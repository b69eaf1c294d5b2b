-- Shared: the ledger's keys, its clock, one job's state and the counts that go with it.
--   conductor:state  hash  id -> LETTER|attempts|seq|class number|since[|accepted body]; a body is
--       ATTEMPT.TOKEN (workers/attempt/attempt.py), or ATTEMPT where no more is known of it. `since` in ms
--       after `created_ms`: a dozen bytes less a job, which is a size class of the allocator
--   conductor:created_ms  int  when the ledger's first job came (ms)
--   conductor:count:B  hash  LETTER -> n, for each backlog B
--   conductor:by_state:LETTER  set  ids of the dead, the cancelled and those in review: few, and looked for
--       by their state
--   conductor:dead_by_own_cause  hash  id -> cause, of the dead those that died of themselves and not for the
--       sake of another
--   conductor:causes:B  hash  cause -> n of those, for each backlog B; the rest of its dead died for their
--       sake
--   conductor:class_backlog hash  class number -> backlog
--   conductor:bell  list  the bell, never longer than one
--   conductor:offers  hash  class id -> msgpack {epoch, until (ms), RQ fields, admission without id}: where the next
--       job of that class starts, as the last tick left it; gone with the next ring
--   conductor:status:ID  string PX  JSON, for programs that look: what was last told of a job (`states.tell`, and
--       tell_progress.lua); conductor:progress:ID is the channel on which the same is published
--   conductor:has_status  string PX  some job that is not over has one
-- LETTER: w waiting, a admitted, r running, d done, x dead, v in review, c cancelled. In review with an
--       accepted body: that one asks for a person's verdict; without one: set aside with its kind.

local call = redis.call
local clock = call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Epoch seconds with milliseconds, as JSON and as the state line have them.
local function seconds(ms)
  return string.format('%.3f', ms / 1000)
end

-- Lua numbers are doubles: past 1e14 a plain tostring would lose digits.
local function whole(number)
  return string.format('%.0f', number)
end

local function job_of(id)
  local text = call('HGET', P .. 'state', id)
  if not text then return nil end
  local letter, attempts, seq, class, since, accepted = string.match(text, '^(%a)|(%d+)|(%d+)|(%d+)|(%d+)|?([%w.]*)$')
  return {letter = letter, attempts = tonumber(attempts), seq = seq, class = class, since = since, accepted = accepted}
end

-- Did the ledger forget an attempt that some worker runs? Redis was emptied: a job that a rebuild put back
-- has had a multiple of 100 attempts (GENERATION_STEP of core/failures/history.py), so that all that may
-- still run somewhere lies below. Or it stepped back: its start is forgotten, or it has an older attempt of
-- that job.
local function is_unheard(job, attempt)
  if not job then return true end
  if job.letter == 'w' then return job.attempts < attempt or (job.attempts > 0 and job.attempts % 100 == 0) end
  if job.letter == 'a' then return job.attempts <= attempt end
  return job.letter == 'r' and job.attempts < attempt
end

local function state_line(job)
  local line = table.concat({job.letter, job.attempts, job.seq, job.class, job.since}, '|')
  return job.accepted == '' and line or line .. '|' .. job.accepted
end

-- A line is kept without the start that its id tells: what begins as no object does is the rest (lines.py).
local function line_of(id)
  local text = call('HGET', P .. 'jobs', id)
  if not text or string.find(text, '^[{%s]') then return text end
  return '{"v":1,"id":"' .. id .. text
end

-- A class never changes its backlog, and a turn moves many jobs of few classes.
local backlogs_seen = {}
local function backlog_of(class)
  local backlog = backlogs_seen[class] or call('HGET', P .. 'class_backlog', class)
  backlogs_seen[class] = backlog
  return backlog
end

-- Chains that jobs tie together become one: the number under which this one goes on.
local function chain_number(number)
  local into = call('HGET', P .. 'chain_merged', number)
  while into do
    number = into
    into = call('HGET', P .. 'chain_merged', number)
  end
  return number
end

-- Set by chains.lua: what a change of state means for the files of a job (id, letter before, letter after).
local files_moved

-- Set by breakers.lua: a job that waited for a person's verdict goes on as that letter.
local review = {}

-- Does it wait for a person's verdict on what it made?
function review.is_open(job)
  return job.letter == 'v' and job.accepted ~= ''
end

-- Was it set aside with its kind, or with a job that it comes after?
function review.is_aside(job)
  return job.letter == 'v' and job.accepted == ''
end

-- By letter: those whose ids are kept by state, those that are an end, how each is called outside; and which keys
-- there are (`states.any`). In one table: a script has room for 200 names.
local states = {
  listed = {x = true, c = true, v = true},
  ends = {d = true, x = true, v = true, c = true},
  there = {},
  words = {w = 'waiting', a = 'admitted', r = 'running', d = 'done', x = 'dead', v = 'review', c = 'cancelled'},
}

-- Is there any of what few jobs have: asked once in a script, whose own writes of it no job asks for again.
function states.any(name)
  if states.there[name] == nil then states.there[name] = call('EXISTS', P .. name) == 1 end
  return states.there[name]
end

-- A job that is not over has a status, for an hour unless it is told of again.
function states.noted()
  redis.pcall('SET', P .. 'has_status', '1', 'PX', 3600000)
  states.there.has_status = true
end

-- For programs that listen: each change of a job that was told of (tell_progress.lua), and the end of every
-- one. What was over in an instant is kept for a minute, for who subscribed too late. Nobody who looks on may
-- end a step: refused or full, it goes on.
function states.tell(id, job, before)
  local is_known = (states.ends[before] or states.any('has_status')) and call('EXISTS', P .. 'status:' .. id) == 1
  if not is_known and not states.ends[job.letter] then return end
  local cause = job.letter == 'x' and call('HGET', P .. 'failures:' .. id, 'cause')
  local text = '{"job_id":"' .. id .. '","state":"' .. states.words[job.letter] .. '","attempt":' .. whole(job.attempts)
    .. (job.letter == 'd' and ',"progress":1' or '')
    .. (cause and ',"cause":' .. cjson.encode(cause) or '') .. ',"at":' .. seconds(now_ms) .. '}'
  if is_known or before == 'r' then
    redis.pcall('SET', P .. 'status:' .. id, text, 'PX', is_known and 3600000 or 60000)
    if is_known then states.noted() end
  end
  redis.pcall('PUBLISH', P .. 'progress:' .. id, text)
end

-- By the cause of that moment: what is noted of its failures may be another word by the time it leaves.
local function into_the_grave(id, job)
  local cause = call('HGET', P .. 'failures:' .. id, 'cause') or 'unknown'
  if cause == 'dependency_dead' then return end
  call('HSET', P .. 'dead_by_own_cause', id, cause)
  call('HINCRBY', P .. 'causes:' .. backlog_of(job.class), cause, 1)
end

local function out_of_the_grave(id, job)
  local cause = call('HGET', P .. 'dead_by_own_cause', id)
  if not cause then return end
  call('HDEL', P .. 'dead_by_own_cause', id)
  local causes = P .. 'causes:' .. backlog_of(job.class)
  if call('HINCRBY', causes, cause, -1) == 0 then call('HDEL', causes, cause) end
end

-- A step that moves many jobs of few backlogs begins with `states.counted = {}`, and writes what changed before
-- it answers (`states.write_counts`).
function states.count(backlog, letter, by)
  if not states.counted then
    call('HINCRBY', P .. 'count:' .. backlog, letter, by)
    return
  end
  local counts = states.counted[backlog] or {}
  states.counted[backlog] = counts
  counts[letter] = (counts[letter] or 0) + by
end

function states.write_counts()
  for backlog, counts in pairs(states.counted) do
    for letter, by in pairs(counts) do
      if by ~= 0 then call('HINCRBY', P .. 'count:' .. backlog, letter, by) end
    end
  end
  states.counted = nil
end

-- The one place where a job changes its state: the counts follow in the same breath.
local function move(id, job, letter)
  local before, backlog = job.letter, backlog_of(job.class)
  states.count(backlog, before, -1)
  states.count(backlog, letter, 1)
  if states.listed[before] then call('SREM', P .. 'by_state:' .. before, id) end
  if states.listed[letter] then call('SADD', P .. 'by_state:' .. letter, id) end
  if before == 'x' then out_of_the_grave(id, job) end
  if letter == 'x' then into_the_grave(id, job) end
  if review.is_open(job) then review.left(id, job, letter) end
  job.letter = letter
  call('HSET', P .. 'state', id, state_line(job))
  states.tell(id, job, before)
  if files_moved then files_moved(id, before, letter) end
end

-- Nobody hears it before this script is over: once is enough. Offers were made for a world without what it is
-- rung for. By an older ACL a worker cannot take them away; whoever takes one asks all that an admission asks.
local has_rung = false
local function ring()
  if has_rung then return end
  has_rung = true
  if states.any('offers') then redis.pcall('DEL', P .. 'offers') end
  if call('LLEN', P .. 'bell') == 0 then call('LPUSH', P .. 'bell', '1') end
end

-- The leader's writes. After a Redis that forgot everything the epoch starts above the clock, never again
-- from 1.
local function fenced(epoch)
  return tonumber(call('GET', P .. 'epoch') or '0') ~= epoch
end

local function refuse(message)
  return redis.error_reply('FENCED ' .. message)
end
