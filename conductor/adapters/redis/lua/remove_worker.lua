-- uses base history
-- A worker is dead, its parent says so, and has returned what it held: it is out of our list and RQ's, and
-- nobody waits for its word. What its hand holds now is over, or found as an orphan.
--   ARGV     worker, queue
--   writes   conductor:workers, prefetched:WORKER; what history.lua names; rq:workers, rq:workers:Q,
--            rq:worker:WORKER
-- Struck off in a settled ledger it cannot have seen more than there is: a ledger that keeps this keeps what
-- came before it. In one that is not settled it may have seen what was forgotten, and says it no more.
local worker, queue = ARGV[1], ARGV[2]
if not is_settled() and call('SISMEMBER', P .. 'reported_workers', worker) == 0 then witness(step() + 1) end
call('SREM', P .. 'workers', worker)
call('DEL', P .. 'prefetched:' .. worker)
local key = R .. 'worker:' .. worker
call('SREM', R .. 'workers', key)
call('SREM', R .. 'workers:' .. queue, key)
call('DEL', key)
if not is_settled() and #silent() == 0 then ring() end
