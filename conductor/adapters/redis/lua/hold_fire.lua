-- uses schedules
-- What is due waits for the fire before.
--   ARGV     epoch, name
--   returns  1, or 0: it did so already
--   writes   conductor:schedules; FENCED when the epoch is not the current one
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
local schedule = schedule_of(ARGV[2]) or {name = ARGV[2], handled_to = 0}
if (schedule.waits_since or 0) > 0 then return 0 end
schedule.waits_since = now_s()
keep_schedule(schedule)
return 1
