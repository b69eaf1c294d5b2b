-- uses base
-- Nobody is told of an alert rule for a while.
--   ARGV     rule, for how long (ms; 0: from now on again)
--   returns  until when (ms)
--   writes   conductor:alerts_silenced (hash rule -> until, ms)
local until_ms = whole(now_ms + tonumber(ARGV[2]))
if ARGV[2] == '0' then
  call('HDEL', P .. 'alerts_silenced', ARGV[1])
else
  call('HSET', P .. 'alerts_silenced', ARGV[1], until_ms)
end
return until_ms
