-- uses base rq chains steps
-- done -> waiting: its receipt was taken back, for an output of it is missing or is not what was published.
-- Those that come after it and are not done wait for it again.
--   ARGV     id, accepted attempt, n, the n jobs in whose `after` it stands, those in whose `after_ended` it stands
--   returns  1, or 0 when it is not done by that attempt
--   writes   conductor:redone (hash id -> the highest attempt whose receipt counts no more), state, count:B, wants:X, wants_end:X, wanted:ID, what `rest` and `unrest` of steps.lua touch
local id, n = ARGV[1], tonumber(ARGV[3])
local job = job_of(id)
if not job or job.letter ~= 'd' or job.accepted ~= ARGV[2] then return 0 end
job.accepted = ''
-- What was taken back stays taken back, whoever still hands it in.
call('HSET', P .. 'redone', id, job.attempts)
move(id, job, 'w')
for i = 4, #ARGV do
  local other = ARGV[i]
  local dependant = job_of(other)
  if dependant and (dependant.letter == 'w' or dependant.letter == 'x' or dependant.letter == 'c'
      or dependant.letter == 'v') then
    if dependant.letter == 'w' then unrest(other, dependant) end
    call('SADD', P .. (i < 4 + n and 'wants:' or 'wants_end:') .. other, id)
    call('SADD', P .. 'wanted:' .. id, other)
  end
end
rest(id, job)
ring()
return 1
