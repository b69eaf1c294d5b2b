-- uses base
-- Replace what is remembered of alerts.
--   ARGV     owner, JSON
--   returns  1, or 0 where somebody else speaks by now
--   writes   conductor:alerts
if call('GET', P .. 'alert_speaker') ~= ARGV[1] then return 0 end
call('SET', P .. 'alerts', ARGV[2])
return 1
