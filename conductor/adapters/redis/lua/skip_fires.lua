-- uses schedules
-- Fires are left out.
--   ARGV     epoch, name, up to this instant, how many
--   returns  1, or 0: others said so before
--   writes   conductor:schedules; FENCED when the epoch is not the current one
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
local schedule, handled_to = schedule_of(ARGV[2]) or {name = ARGV[2], handled_to = 0}, tonumber(ARGV[3])
if handled_to <= schedule.handled_to then return 0 end
schedule.handled_to = handled_to
schedule.skipped = (schedule.skipped or 0) + tonumber(ARGV[4])
keep_schedule(schedule)
return 1
