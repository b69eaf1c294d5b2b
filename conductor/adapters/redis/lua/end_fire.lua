-- uses schedules
-- A fire is over.
--   ARGV     name, owner, its end (JSON)
--   returns  1, or 0: it is not his any more
--   writes   conductor:schedules
local schedule, ended = schedule_of(ARGV[1]), cjson.decode(ARGV[3])
if not has_in_hand(schedule, ended.instant, ARGV[2]) then return 0 end
if not schedule.taken.is_by_hand then schedule.handled_to = math.max(schedule.handled_to, ended.instant) end
schedule.taken = nil
schedule[ended.outcome] = (schedule[ended.outcome] or 0) + 1
schedule.last = ended
keep_schedule(schedule)
return 1
