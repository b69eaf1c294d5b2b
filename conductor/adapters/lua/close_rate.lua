-- uses base
-- What API calls of one attempt came to. A 429 closes the gate of its rate key for so long; a shorter one never opens a
-- longer one. The words themselves wait for the leader.
--   ARGV     per call: rate key, for (ms; 0: stays open), 1 if it was a 429, what is told (JSON; empty: nothing)
--   writes   conductor:closed, wake; conductor:refusals (hash rate key -> 429s of all time)
--            conductor:calls (list JSON, the oldest first; never longer than 100,000: nobody leads)
for i = 1, #ARGV, 4 do
  local key, for_ms = ARGV[i], tonumber(ARGV[i + 1])
  if for_ms > 0 then call('ZADD', P .. 'closed', 'GT', whole(now_ms + for_ms), key) end
  if ARGV[i + 2] == '1' then call('HINCRBY', P .. 'refusals', key, 1) end
  if ARGV[i + 3] ~= '' then call('RPUSH', P .. 'calls', ARGV[i + 3]) end
end
call('LTRIM', P .. 'calls', -100000, -1)
ring()
