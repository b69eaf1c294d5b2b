-- uses base
-- Rate keys that are closed, and until when (ms); what ran out is forgotten.
--   returns  {key, until, ..}
--   writes   conductor:closed_rates
call('ZREMRANGEBYSCORE', P .. 'closed_rates', '-inf', whole(now_ms))
return call('ZRANGE', P .. 'closed_rates', 0, -1, 'WITHSCORES')
