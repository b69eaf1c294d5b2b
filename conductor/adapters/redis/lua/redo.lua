-- uses base rq chains steps
-- done -> waiting: its receipt was taken back, for an output of it is missing or is not what was published.
-- Those that come after it and are not done wait for it again, and it waits itself for those that are to be
-- made first.
--   ARGV     id, accepted attempt, '1' or '' (also while a node removes files of it),
--            msgpack {in whose `after` it stands, in whose `after_ended`, what it comes after itself, and
--            what after the end of}
--   returns  1, or 0 when it is not done by that attempt, or a file of it is being removed at this moment
--   writes   conductor:redone (hash id -> the highest attempt whose receipt counts no more), state, count:B,
--            waits_for:X, waits_for_end:X, waited_on_by:ID, what `rest` and `unrest` of steps.lua touch
local id, attempt, is_forced = ARGV[1], ARGV[2], ARGV[3] == '1'
local after, after_ended, own, own_ended = unpack(cmsgpack.unpack(ARGV[4]))
local job = job_of(id)
if not job or job.letter ~= 'd' or string.match(job.accepted, '^%d+') ~= attempt then return 0 end
local _, text = files_of(id)
for path in pairs(text and not is_forced and cjson.decode(text).writes or {}) do
  if call('HEXISTS', P .. 'removing', path) == 1 then return 0 end
end
job.accepted = ''
-- What was taken back stays taken back, whoever still hands it in.
call('HSET', P .. 'redone', id, job.attempts)
move(id, job, 'w')

local function wait_again(others, key)
  for _, other in ipairs(others) do
    local dependant = job_of(other)
    if dependant and (dependant.letter == 'w' or dependant.letter == 'x' or dependant.letter == 'c'
        or review.is_aside(dependant)) then
      if dependant.letter == 'w' then unrest(other, dependant) end
      call('SADD', P .. key .. other, id)
      call('SADD', P .. 'waited_on_by:' .. id, other)
    end
  end
end

wait_again(after, 'waits_for:')
wait_again(after_ended, 'waits_for_end:')
if fit(id, job, true) then call('HSET', P .. 'state', id, state_line(job)) end
begin_to_wait(id, job, own, own_ended)
ring()
return 1
