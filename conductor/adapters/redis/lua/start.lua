-- uses base rq chains history steps attempts
-- admitted(attempt) -> running, with a lease.
--   ARGV     id, attempt, worker, lease (ms)
--   returns  msgpack {line, Reservation JSON, {cause, n, ..}, descriptor JSON}; FENCED when it is not this
--            attempt's turn. The same worker asking again (its first answer was lost) is told the same again.
--   writes   conductor:reservations, state, count:B, leases, admitted_at, off_queue_at, prefetched:WORKER
--            (list of entries it took); RQ's keys
if not is_settled() then return refuse('Redis may have forgotten what it was told last: ask again when it is settled') end
local started, why_not = start_one(ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]))
return started and cmsgpack.pack(started) or refuse(why_not)
