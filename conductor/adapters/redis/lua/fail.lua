-- uses base rq chains history steps attempts
-- running(attempt) -> waiting, dead or cancelled.
--   ARGV     id, attempt, cause, message, retry | free (it counts for nothing) | dead, delay (ms),
--            class id and descriptor it comes back into, or '', fingerprint of the failure, code version,
--            cause and line of it
--   returns  accepted | already (it is done) | gone (not in that attempt any more)
--   writes   what `lose` of steps.lua touches, conductor:breakers
return fail_one(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5] == 'dead', tonumber(ARGV[6]), ARGV[7], ARGV[8],
  ARGV[9], ARGV[10], ARGV[11],
  ARGV[5] == 'free')
