-- uses schedules
-- There is such a schedule.
--   ARGV     name, its instants up to this one are no matter, the operator's word: '' as it was, 1 paused, 0
--            not
--   writes   conductor:schedules
local schedule = schedule_of(ARGV[1]) or {name = ARGV[1], handled_to = 0}
schedule.handled_to = math.max(schedule.handled_to, tonumber(ARGV[2]))
if ARGV[3] ~= '' then schedule.is_paused = ARGV[3] == '1' end
if schedule.is_paused then schedule.waits_since = nil end
keep_schedule(schedule)
