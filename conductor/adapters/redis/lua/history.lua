-- Shared: does the server still serve the history in which this ledger was last settled? A server that is
-- started again, a replica that takes its place, a data set put back: each may have forgotten the last that
-- it was told, while workers live on by it. Until the ledger is settled (settle.lua) nothing is handed out;
-- what only takes in goes on. Needs base.lua.
--   conductor:settled_history  string  of the server, for which the ledger is settled; none while it is not.
--       Given with the first job.
--   conductor:settling_history  string  "HISTORY EPOCH BEAT SINCE": which one is being settled, and by whom;
--       when the leader of the last one was heard for the last time, as far as the ledger knows, and since
--       when (ms)
--   conductor:leader_seen  int, ms  when the leader was heard for the last time
--   conductor:handout_count  int  how often something was handed out: a worker or leader that saw more of it
--       than there is, saw what the ledger forgot
--   conductor:highest_seen_count  int  the most that any such has seen
--   conductor:workers  set  names of workers, as they say themselves; there is who has a heartbeat,
--       rq:worker:WORKER
--   conductor:reported_workers  set  workers that have said what they hold since then
--   conductor:reported_attempts  set  ids: running, and their workers said so since then
--   conductor:running:WORKER  hash  id -> step in which it was started
--   conductor:highest_attempt  int  the highest number of an attempt so far; conductor:attempt_floor  int new
--       attempts have higher ones

-- Every start of a server draws a run id, every promotion and full resync a replication id.
local history_now
local function history()
  if not history_now then
    local told = call('INFO', 'server', 'replication')
    history_now = string.match(told, 'run_id:(%w+)') .. '.' .. string.match(told, 'master_replid:(%w+)')
  end
  return history_now
end

local settled_now
local function is_settled()
  if settled_now == nil then
    local known = call('GET', P .. 'settled_history')
    -- An empty ledger has nothing to forget.
    settled_now = known and known == history() or not known and call('EXISTS', P .. 'created_ms') == 0
  end
  return settled_now
end

-- Something is handed out: once in a script is enough. Its number.
local step_now
local function step()
  step_now = step_now or tonumber(call('GET', P .. 'handout_count') or '0')
  return step_now
end

local has_stepped = false
local function stepped()
  if not has_stepped then step_now = call('INCR', P .. 'handout_count') end
  has_stepped = true
  return step_now
end

-- `seen`: the step that who asks was told last. Also where the server itself looks the same (a disk of
-- yesterday put back).
local function witness(seen)
  if seen <= step() then return end
  if seen > tonumber(call('GET', P .. 'highest_seen_count') or '0') then call('SET', P .. 'highest_seen_count', whole(seen)) end
  call('DEL', P .. 'settled_history')
  settled_now = nil
end

-- Workers that are there, as far as anybody knows, and have not said what they hold. Ours: another
-- application of RQ may have its workers in the same list of RQ's, and they will never say anything.
local function silent()
  local found = {}
  for _, worker in ipairs(call('SMEMBERS', P .. 'workers')) do
    if call('EXISTS', R .. 'worker:' .. worker) == 1 and call('SISMEMBER', P .. 'reported_workers', worker) == 0 then
      found[#found + 1] = worker
    end
  end
  return found
end

local floor_now
local function number_floor()
  floor_now = floor_now or tonumber(call('GET', P .. 'attempt_floor') or '0')
  return floor_now
end

local highest_now
local function note_number(attempt)
  highest_now = highest_now or tonumber(call('GET', P .. 'highest_attempt') or '0')
  if attempt <= highest_now then return end
  highest_now = attempt
  call('SET', P .. 'highest_attempt', attempt)
end
