-- uses base
-- Shared: where a schedule stands.
--   conductor:schedules  hash  name -> JSON (ScheduleState of conductor/model/schedule.py)
local function schedule_of(name)
  local text = call('HGET', P .. 'schedules', name)
  return text and cjson.decode(text)
end

local function keep_schedule(schedule)
  call('HSET', P .. 'schedules', schedule.name, cjson.encode(schedule))
end

local function now_s()
  return now_ms / 1000
end

-- His, and not over.
local function has_in_hand(schedule, instant, owner)
  local taken = schedule and schedule.taken
  return taken and taken.instant == instant and taken.owner == owner
end
