-- uses base
-- A 429: the gate of a rate key is closed for so long; a shorter one never opens a longer one.
--   ARGV     rate key, for (ms)
--   writes   conductor:closed, wake; conductor:refusals (hash rate key -> how many, of all time)
call('ZADD', P .. 'closed', 'GT', whole(now_ms + tonumber(ARGV[2])), ARGV[1])
call('HINCRBY', P .. 'refusals', ARGV[1], 1)
ring()
