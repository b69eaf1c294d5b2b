-- uses base
-- What the leader knows of an engine and its pilots; before the engine is asked for one, that it will be.
--   ARGV     epoch, engine, its JSON, number of keys to forget, these keys; then for each pilot its key and JSON
--   writes   conductor:engines, conductor:pilots, conductor:pilot_claims; FENCED when the epoch is not the
--            current one
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
call('HSET', P .. 'engines', ARGV[2], ARGV[3])
local first = 5 + tonumber(ARGV[4])
for at = 5, first - 1 do
  call('HDEL', P .. 'pilots', ARGV[at])
  call('HDEL', P .. 'pilot_claims', ARGV[at])
end
for at = first, #ARGV, 2 do call('HSET', P .. 'pilots', ARGV[at], ARGV[at + 1]) end
return 'OK'
