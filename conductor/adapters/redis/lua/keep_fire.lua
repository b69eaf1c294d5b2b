-- uses schedules
-- Renew what is in hand.
--   ARGV     name, instant, owner, lease (ms)
--   returns  1, or 0: it is not his any more
--   writes   conductor:schedules
local schedule = schedule_of(ARGV[1])
if not has_in_hand(schedule, tonumber(ARGV[2]), ARGV[3]) then return 0 end
schedule.taken['until'] = now_s() + tonumber(ARGV[4]) / 1000
keep_schedule(schedule)
return 1
