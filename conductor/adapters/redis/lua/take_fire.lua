-- uses schedules
-- Have a fire in hand, once.
--   ARGV     name, instant, owner, lease (ms), epoch ('': the operator's hand)
--   returns  the schedule (JSON), or false: somebody has one of it in hand, or this one is over
--   writes   conductor:schedules; FENCED when the epoch is not the current one
local name, instant, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local is_by_hand = ARGV[5] == ''
if not is_by_hand and fenced(tonumber(ARGV[5])) then return refuse('this conductor no longer leads') end
local schedule = schedule_of(name) or {name = name, handled_to = 0}
local taken = schedule.taken
if taken and taken['until'] > now_s() then return false end
local is_again = taken and taken.instant == instant
if taken and not is_again then return false end
if not is_again and not is_by_hand and instant <= schedule.handled_to then return false end
schedule.taken = {
  instant = instant, owner = owner, since = is_again and taken.since or now_s(),
  ['until'] = now_s() + tonumber(ARGV[4]) / 1000, is_by_hand = is_by_hand or (is_again and taken.is_by_hand) or nil,
}
schedule.waits_since = nil
keep_schedule(schedule)
return cjson.encode(schedule)
