-- uses base rq chains steps endpoint_faults
-- What API calls of one attempt came to. A 429, or another trouble, closes the gate of its rate key for so
-- long; a shorter one never opens a longer one. The words themselves wait for the leader.
--   ARGV     per call: what is told (Call JSON)
--   writes   conductor:closed_rates, endpoint_faults, bell; conductor:rate_limited (hash rate key -> 429s of
--            all time) conductor:reported_calls (list JSON, the oldest first; never longer than 100,000:
--            nobody leads); what is handed over and would call an endpoint that is not well goes back
for i = 1, #ARGV do
  local told = cjson.decode(ARGV[i])
  local for_s = endpoint_fault_told(told)
  if for_s > 0 then call('ZADD', P .. 'closed_rates', 'GT', whole(now_ms + math.floor(for_s * 1000 + 0.5)), told.key) end
  if told.outcome == 'refused' then call('HINCRBY', P .. 'rate_limited', told.key, 1) end
  call('RPUSH', P .. 'reported_calls', ARGV[i])
  if for_s > 0 and told.trouble and told.trouble ~= 'limited' then take_back_callers(told.key) end
end
call('LTRIM', P .. 'reported_calls', -100000, -1)
ring()
