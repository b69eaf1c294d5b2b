-- uses base rq chains steps breakers
-- Hold known jobs against the lines they are dispatched with: who has not begun takes another line, and what
-- follows from it (class, what it comes after, sizes of files), in this one step. A dead job whose line was
-- put right waits again, as one in review does; a cancelled one takes the line and stays cancelled.
--   ARGV[1]  msgpack as put.lua has it: of each entry its line, its class and what it comes after are read
--   ARGV[2]  '1': jobs of another backlog come into this one; ''
--   ARGV[3]  '1': nothing is written, only told; ''
--   ARGV[4]  msgpack {seal, ..}, one for each id, or {}
--   returns  msgpack {n that took another line, {id, attempts, ..} of those that wait again because of it,
--            n under way with another line, n done with another line, n that came from another backlog,
--            {backlog, n, ..} of those that stay in another one}
--   writes   conductor:jobs, state, count:B, backlogs, failures:ID, seals, breakers, files; conductor:revised
--            set  ids: what was decided of them before they are handed over again may be void
--            (hand_over.lua); what steps.lua names
local backlog, classes, ids, lines, class_of, special = unpack(cmsgpack.unpack(ARGV[1]))
local is_moving, is_trial = ARGV[2] == '1', ARGV[3] == '1'
local seals = cmsgpack.unpack(ARGV[4])
local risen, elsewhere = {}, {}
local changed, going, done, moved = 0, 0, 0, 0

local function forget_waits(id)
  for _, key in ipairs({'waits_for:', 'waits_for_end:'}) do
    for _, other in ipairs(call('SMEMBERS', P .. key .. id)) do call('SREM', P .. 'waited_on_by:' .. other, id) end
    call('DEL', P .. key .. id)
  end
end

local function is_doomed(after)
  for _, other in ipairs(after) do
    local job = job_of(other)
    if job and (job.letter == 'x' or job.letter == 'c') then return true end
  end
  return false
end

-- Its class, in whose backlog it counts from now on.
local function into_class(id, job, index, own)
  local class = classes[class_of[index]]
  local own_priority = special[index] and special[index][10] or ''
  local is_dead = own ~= backlog and job.letter == 'x'
  if is_dead then out_of_the_grave(id, job) end
  if own ~= backlog then
    call('SADD', P .. 'backlogs', backlog)
    call('HINCRBY', P .. 'count:' .. own, job.letter, -1)
    call('HINCRBY', P .. 'count:' .. backlog, job.letter, 1)
  end
  job.class = class_number(class[1], class[2], backlog)
  call('HDEL', P .. 'own_priority', id)
  if own_priority ~= '' then call('HSET', P .. 'own_priority', id, own_priority) end
  fit(id, job, true)
  if is_dead then into_the_grave(id, job) end
  call('HSET', P .. 'state', id, state_line(job))
  call('SADD', P .. 'revised', id)
end

local function sizes_of_files(id, files)
  if #files == 0 then return end
  local number, text = files_of(id)
  if not number then
    chain_in(id, false, files[1], files[2])
  elseif text ~= files[1] then
    call('HSET', P .. 'files', id, number .. '|' .. files[1])
    chain_touched(chain_number(number))
  end
end

local function take_line(index, id, job, own, is_same)
  local extra, was = special[index] or {{}, {}, false, 0, '', {}, {}}, job.letter
  if was == 'w' then unrest(id, job) end
  local before = {}
  each_wanted_by(id, function(other) before[#before + 1] = other end)
  forget_waits(id)
  call('HSET', P .. 'jobs', id, lines[index])
  if seals[index] then call('HSET', P .. 'seals', id, seals[index]) end
  into_class(id, job, index, own)
  sizes_of_files(id, extra[7])
  if was == 'c' or (is_same and was ~= 'w') then
    want(id, 'waits_for:', extra[1])
    want(id, 'waits_for_end:', extra[2])
    take_back_priority(before)
    return
  end
  if was ~= 'w' then
    call('DEL', P .. 'failures:' .. id)
    -- First, or what comes out of review is set aside again at once.
    if was == 'v' then kind_resumed(cjson.decode(classes[class_of[index]][2]).kind or '') end
    move(id, job, 'w')
  end
  begin_to_wait(id, job, extra[1], extra[2])
  take_back_priority(before)
  if was ~= 'w' and job.letter == 'w' then
    risen[#risen + 1] = id
    risen[#risen + 1] = job.attempts
    revive(id)
  end
end

-- Another priority is handed down to it than when it was put. One that failed keeps the class that it was
-- taught.
local function is_lifted(index, id, job)
  local priority = function(text) return tonumber(string.match(text, '"priority":(-?%d+)') or '0') end
  return job.letter == 'w' and call('EXISTS', P .. 'failures:' .. id) == 0
    and priority(call('HGET', P .. 'classes', job.class)) ~= priority(classes[class_of[index]][2])
end

local function revise(index, id, job)
  local own, is_same = backlog_of(job.class), call('HGET', P .. 'jobs', id) == lines[index]
  local is_going, is_made = job.letter == 'a' or job.letter == 'r', job.letter == 'd' or review.is_open(job)
  if own ~= backlog and not is_made and (is_going or not is_moving) then
    elsewhere[own] = (elsewhere[own] or 0) + 1
  elseif is_same and (own == backlog or is_made) then
    if not is_trial and is_lifted(index, id, job) then
      unrest(id, job)
      into_class(id, job, index, own)
      rest(id, job)
      lift_before(id, job.class)
    end
  elseif is_made then
    done = done + 1
  elseif is_going then
    going = going + 1
  else
    if own ~= backlog then moved = moved + 1 end
    if not is_same then changed = changed + 1 end
    if not is_trial then
      take_line(index, id, job, own, is_same)
    elseif not is_same and (job.letter == 'x' or job.letter == 'v') and not is_doomed(special[index] and special[index][1] or {}) then
      risen[#risen + 1] = id
      risen[#risen + 1] = job.attempts
    end
  end
end

local seen = {}
for index, id in ipairs(ids) do
  local job = not seen[id] and job_of(id)
  seen[id] = true
  -- What a receipt proves done is no job to be put right.
  if job and not (special[index] and special[index][3]) then revise(index, id, job) end
end
if not is_trial and changed + moved > 0 then ring() end
local others = {}
for name, n in pairs(elsewhere) do
  others[#others + 1] = name
  others[#others + 1] = n
end
return cmsgpack.pack({changed, risen, going, done, moved, others})
