-- uses base
-- What workers told of their API calls and the leader has not yet counted, the oldest first.
--   ARGV[1]  how many at most
--   returns  {Call JSON, ..}
--   reads    conductor:reported_calls
return call('LRANGE', P .. 'reported_calls', 0, tonumber(ARGV[1]) - 1)
