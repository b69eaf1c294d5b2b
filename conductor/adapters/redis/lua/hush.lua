-- uses base
-- Give the lease to speak back, if it is still one's own.
--   ARGV     owner
--   writes   conductor:alert_speaker
if call('GET', P .. 'alert_speaker') == ARGV[1] then call('DEL', P .. 'alert_speaker') end
