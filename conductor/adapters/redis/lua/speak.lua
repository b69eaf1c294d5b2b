-- uses base
-- Take the lease to judge and speak of alerts, or renew it.
--   ARGV     owner, time to live (ms)
--   returns  1, or 0 while somebody else has it
--   writes   conductor:alert_speaker (string, PX)
local current = call('GET', P .. 'alert_speaker')
if current and current ~= ARGV[1] then return 0 end
call('SET', P .. 'alert_speaker', ARGV[1], 'PX', ARGV[2])
return 1
