-- uses base rq chains steps breakers
-- An orphan goes back: admitted(attempt) or running(attempt) -> waiting, dead or cancelled.
--   ARGV     id, attempt, cause, message, retry | free | dead, delay (ms), class id and descriptor it comes
--            back into, or '', fingerprint of the failure or '', 'lapsed': only when its lease has run out by
--            now (who asks may have slept since it looked)
--   returns  1, or 0 when it was not in that attempt any more
--   writes   what `lose` of steps.lua touches, conductor:breakers
local id, attempt = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job or (job.letter ~= 'a' and job.letter ~= 'r') or job.attempts ~= attempt then return 0 end
if ARGV[10] == 'lapsed' and job.letter == 'r' and tonumber(call('ZSCORE', P .. 'leases', id) or '0') > now_ms then return 0 end
local held = lose(id, job, ARGV[3], ARGV[4], ARGV[5] == 'dead', tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[5] == 'free')
kind_failed(held, '', ARGV[9], ARGV[3], ARGV[4])
return 1
