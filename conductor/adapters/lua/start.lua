-- uses base rq
-- admitted(attempt) -> running, with a lease.
--   ARGV     id, attempt, worker, lease (ms)
--   returns  msgpack {line, Reservation JSON, {cause, n, ..}, descriptor JSON}; FENCED when it is not this attempt's turn.
--            The same worker asking again (its first answer was lost) is told the same again.
--   writes   conductor:active, state, count:B, leases, handed, popped, hand:WORKER (list of entries it took); RQ's keys
local id, attempt, worker, lease_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
call('LREM', P .. 'hand:' .. worker, 0, entry_of(id, attempt))
local job = job_of(id)
local text = call('HGET', P .. 'active', id)
if not job or not text then return refuse('this attempt is over') end
local held = cjson.decode(text)
local is_again = held.state == 'running' and held.worker == worker
if held.attempt ~= attempt or not (is_again or job.letter == 'a') then return refuse('another attempt has its place') end
if not is_again then
  text = string.sub(text, 1, -2) .. ',"state":"running","worker":' .. cjson.encode(worker)
    .. ',"started_at":' .. seconds(now_ms) .. '}'
  call('HSET', P .. 'active', id, text)
  move(id, job, 'r')
  call('ZREM', P .. 'handed', id)
  call('ZREM', P .. 'popped', id)
  rq_start(held.queue, entry_of(id, attempt), worker)
  ring()
end
call('ZADD', P .. 'leases', whole(now_ms + lease_ms), id)
return cmsgpack.pack({call('HGET', P .. 'jobs', id), text, call('HGETALL', P .. 'fails:' .. id),
  call('HGET', P .. 'classes', job.class)})
