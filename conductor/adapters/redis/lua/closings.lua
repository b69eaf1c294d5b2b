-- uses base
-- Rate keys that are closed, and until when (ms); what ran out is forgotten.
--   returns  {key, until, ..}
--   writes   conductor:closed
call('ZREMRANGEBYSCORE', P .. 'closed', '-inf', whole(now_ms))
return call('ZRANGE', P .. 'closed', 0, -1, 'WITHSCORES')
