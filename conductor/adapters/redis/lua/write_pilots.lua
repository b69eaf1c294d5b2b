-- uses base
-- What the leader knows of an engine, and of its pilots or of the jobs that it runs one by one; before the
-- engine is asked for one, that it will be.
--   ARGV     epoch, pilots | engine_jobs, engine, its JSON, number of keys to forget, these keys; then for each
--            one its key and JSON
--   writes   conductor:engines, conductor:pilots, conductor:engine_jobs, conductor:pilot_claims; FENCED when
--            the epoch is not the current one
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
local all = P .. ARGV[2]
call('HSET', P .. 'engines', ARGV[3], ARGV[4])
local first = 6 + tonumber(ARGV[5])
for at = 6, first - 1 do
  call('HDEL', all, ARGV[at])
  call('HDEL', P .. 'pilot_claims', ARGV[at])
end
for at = first, #ARGV, 2 do call('HSET', all, ARGV[at], ARGV[at + 1]) end
return 'OK'
