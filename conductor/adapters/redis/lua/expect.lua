-- uses base history
-- What the leader saw running before its server was started again, or replaced: where the start is forgotten the
-- worker's birth may be as well, and it is waited for like those that are registered, and called.
--   ARGV[1]  msgpack {for how long at most (ms), {{worker, id, attempt}, ..}}
--   writes   conductor:workers, successor_feed:WORKER; rq:worker:WORKER (PX), where it has none
--   reads    conductor:state; what history.lua names
local UNREAD_MS = 60000
local wait_ms, rows = unpack(cmsgpack.unpack(ARGV[1]))
if is_settled() then return 0 end
for _, row in ipairs(rows) do
  local worker, id, attempt = unpack(row)
  if is_unheard(job_of(id), attempt) and call('SISMEMBER', P .. 'reported_workers', worker) == 0 then
    call('SADD', P .. 'workers', worker)
    local seen = R .. 'worker:' .. worker
    if call('EXISTS', seen) == 0 then
      call('HSET', seen, 'state', '?')
      call('PEXPIRE', seen, whole(wait_ms))
    end
    call('RPUSH', P .. 'successor_feed:' .. worker, cmsgpack.pack(false))
    call('PEXPIRE', P .. 'successor_feed:' .. worker, UNREAD_MS)
  end
end
return 1
