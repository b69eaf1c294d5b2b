-- uses base
-- A worker is to say at once what it holds.
--   ARGV     worker
--   writes   conductor:successor_feed:WORKER
local UNREAD_MS = 60000
call('RPUSH', P .. 'successor_feed:' .. ARGV[1], cmsgpack.pack(false))
call('PEXPIRE', P .. 'successor_feed:' .. ARGV[1], UNREAD_MS)
return 1
