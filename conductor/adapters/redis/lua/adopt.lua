-- uses base rq chains history steps
-- An attempt that the ledger forgot still runs: Redis was emptied, or stepped back. Waiting, admitted, or
-- running as an older attempt -> running again, under its old number and reservation. No ceiling is asked:
-- what it holds, it holds.
--   ARGV[1]  msgpack {id, attempt, worker, lease (ms), constant RQ fields {name, value, ..}, queue,
--            Reservation JSON, charges {key: amount}, RQ description, node}
--   ARGV[2]  RQ's `data` field
--   returns  ok | unknown (no such job here, yet) | gone (the ledger knows better)
--   writes   conductor:reservations, charges, reserved, state, count:B, class:C, ready, delayed, leases, what
--            `release` of steps.lua touches, what history.lua names; rq:job:ENTRY, rq:wip:Q
local id, attempt, worker, lease_ms, fields, queue, reservation, charges, description, node = unpack(cmsgpack.unpack(ARGV[1]))
local job = job_of(id)
if not job then
  -- It has not been told again yet: until this worker names it once more nothing is handed out.
  if not is_settled() then call('SREM', P .. 'reported_workers', worker) end
  return 'unknown'
end
if not is_unheard(job, attempt) then return 'gone' end
if job.letter == 'w' then
  unrest(id, job)
else
  -- An older one, or its own place in the queue: nobody is to start that now.
  release(id)
  move(id, job, 'w')
end
job.attempts = attempt
note_number(attempt)
move(id, job, 'r')
charge(id, charges)
local now_s = seconds(now_ms)
call('HSET', P .. 'reservations', id, string.sub(reservation, 1, -2) .. ',"admitted_at":' .. now_s .. ',"state":"running","worker":'
  .. cjson.encode(worker) .. ',"started_at":' .. now_s .. '}')
chain_begun(id, node)
call('HSET', P .. 'running:' .. worker, id, step())
if not is_settled() then call('SADD', P .. 'reported_attempts', id) end
call('ZADD', P .. 'leases', whole(now_ms + lease_ms), id)
local entry, at = entry_of(id, attempt), at_now()
call('HSET', R .. 'job:' .. entry, 'data', ARGV[2], 'description', description, 'origin', queue, 'created_at', at,
  'enqueued_at', at, unpack(fields))
rq_knows(queue)
rq_start(queue, entry, worker)
ring()
return 'ok'
