-- uses base
-- All the ledger knows of one job, in one look.
--   ARGV[1]  id
--   returns  false, or msgpack {letter, attempts, since (ms), descriptor JSON, line, not before (ms) or '',
--            {waits for ..}, Reservation JSON or '', {cause, n, .., 'cause', c, 'message', m}, jobs before it or '',
--            accepted body or ''}
--   reads    conductor:state, jobs, classes, delayed, wants:ID, wants_end:ID, active, fails:ID, class:NO
local id = ARGV[1]
local job = job_of(id)
if not job then return false end
local waits_for = call('SUNION', P .. 'wants:' .. id, P .. 'wants_end:' .. id)
return cmsgpack.pack({
  job.letter, job.attempts, call('GET', P .. 'born') + job.since,
  call('HGET', P .. 'classes', job.class),
  line_of(id),
  call('ZSCORE', P .. 'delayed', id) or '',
  waits_for,
  call('HGET', P .. 'active', id) or '',
  call('HGETALL', P .. 'fails:' .. id),
  call('ZRANK', P .. 'class:' .. job.class, id) or '',
  job.accepted,
})
