-- uses base history
-- Leave offers: where the next job of each of these classes starts, if it comes before anything else changes
-- (put.lua).
--   ARGV[1]  msgpack {epoch, constant RQ fields {name, value, ..}, offers {{class id, admission without id (as
--            admit.lua has it)}, ..}, how long they stand (ms), conductor:successions as it was before the tick
--            looked}
--   returns  how many; FENCED when the epoch is not the current one. None where the bell rang since the tick
--            began, or a successor was handed over: they were decided without that.
--   writes   conductor:offers
local epoch, fields, offers, stand_ms, seen = unpack(cmsgpack.unpack(ARGV[1]))
if fenced(epoch) then return refuse('this conductor no longer leads') end
call('DEL', P .. 'offers')
local is_late = call('LLEN', P .. 'bell') > 0 or tonumber(call('GET', P .. 'successions') or '0') ~= seen
if is_late or not is_settled() then return 0 end
for _, offer in ipairs(offers) do
  call('HSET', P .. 'offers', offer[1], cmsgpack.pack({epoch, now_ms + stand_ms, fields, offer[2]}))
end
return #offers
