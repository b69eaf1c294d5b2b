-- uses base rq chains history steps breakers hand_over
-- Accept jobs, all of this call; an id already known is left as it is.
--   ARGV[1]  msgpack {backlog, classes {{id, descriptor JSON}..}, ids {..}, lines {..}, class of each
--            (index), special {index -> {after, after_ended, is_done, attempts, over, failures, files,
--            not_before, token, own, shown}}}: `over` is '' or the letter of a job that was dead or cancelled before
--            Redis was emptied, `failures` the fields of its fails:ID, `files` {} or {FileJob JSON, readers
--            {path -> {id, ..}}, written JSON or ''}, `not_before` '' or ms: a back-off that was not over,
--            `token` that of the accepted body or '', `own` its own priority where its class has one that is
--            handed down to it, or '', `shown` {} or {JSON of what it shows to a person, {item, verdict JSON,
--            ..}}
--   ARGV[2]  RQ's `data` field of the first attempt of a job that comes alone; no ARGV[2]: no offer is taken
--   returns  how many were new
--   writes   what hand_over.lua names, where it takes an offer;
--              conductor:jobs (hash id -> line; as they are given: lines.py), state, count:B, backlogs, seq,
--            created_ms, and what steps.lua names
local backlog, classes, ids, lines, class_of, special = unpack(cmsgpack.unpack(ARGV[1]))
local CHUNK = 500

local function unknown_indices()
  local seen, fresh = {}, {}
  for first = 1, #ids, CHUNK do
    local known = call('HMGET', P .. 'state', unpack(ids, first, math.min(first + CHUNK - 1, #ids)))
    for i, text in ipairs(known) do
      local index = first + i - 1
      if not text and not seen[ids[index]] then
        seen[ids[index]] = true
        fresh[#fresh + 1] = index
      end
    end
  end
  return fresh
end

-- Variadic commands in chunks: one call a job would cost four times as much.
local function flush(command, key, values)
  if #values > 0 then call(command, key, unpack(values)) end
end

call('SADD', P .. 'backlogs', backlog)
-- What comes first cannot have been forgotten.
if call('SET', P .. 'created_ms', whole(now_ms), 'NX') then call('SET', P .. 'settled_history', history()) end
local created_ms = tonumber(call('GET', P .. 'created_ms'))
local numbers = {}
for i, class in ipairs(classes) do numbers[i] = class_number(class[1], class[2], backlog) end

local fresh = unknown_indices()
local seq = call('INCRBY', P .. 'seq', #fresh) - #fresh
-- The clock may have been set back.
local since = whole(math.max(0, now_ms - created_ms))
local added = {w = 0, d = 0, v = 0}
local bound = {}
for first = 1, #fresh, CHUNK do
  local states, texts, free_to_go = {}, {}, {}
  for n = first, math.min(first + CHUNK - 1, #fresh) do
    local index = fresh[n]
    local id, number = ids[index], numbers[class_of[index]]
    local extra = special[index]
    local letter, attempts, accepted = 'w', 0, ''
    if extra then
      bound[#bound + 1] = index
      attempts = extra[4]
      if #extra[11] > 0 then letter = 'v' end
      if extra[3] then letter = 'd' end
      if letter ~= 'w' then accepted = '|' .. attempts .. (extra[9] ~= '' and '.' .. extra[9] or '') end
    else
      local going = free_to_go[number] or {}
      free_to_go[number] = going
      going[#going + 1] = seq + n
      going[#going + 1] = id
    end
    added[letter] = added[letter] + 1
    states[#states + 1] = id
    states[#states + 1] = table.concat({letter, attempts, seq + n, number, since}, '|') .. accepted
    texts[#texts + 1] = id
    texts[#texts + 1] = lines[index]
  end
  flush('HSET', P .. 'state', states)
  flush('HSET', P .. 'jobs', texts)
  for number, going in pairs(free_to_go) do
    flush('ZADD', P .. 'class:' .. number, going)
    call('SADD', P .. 'ready', number)
  end
end
for letter, n in pairs(added) do
  if n > 0 then call('HINCRBY', P .. 'count:' .. backlog, letter, n) end
end

for _, index in ipairs(bound) do
  local id, extra = ids[index], special[index]
  local job, files = job_of(id), extra[7]
  if #files > 0 then
    chain_in(id, job.letter == 'd', files[1], files[2])
    if files[3] ~= '' then files_written(id, tostring(extra[4]), files[3]) end
  end
  if job.letter == 'd' then
    free(id)
  elseif job.letter == 'v' then
    call('SADD', P .. 'by_state:v', id)
    call('HSET', P .. 'review:' .. id, 'asked', extra[11][1], unpack(extra[11][2]))
  else
    if extra[10] ~= '' then call('HSET', P .. 'own_priority', id, extra[10]) end
    if #extra[6] > 0 then call('HSET', P .. 'failures:' .. id, unpack(extra[6])) end
    begin_to_wait(id, job, extra[1], extra[2], extra[5], tonumber(extra[8]))
  end
end
local is_plain = #fresh == 1 and #bound == 0
local is_taken = is_plain and ARGV[2] and take_offer(ids[fresh[1]], classes[class_of[fresh[1]]][1], ARGV[2])
-- Who took an offer is the worker's: its start rings.
if #fresh > 0 and not is_taken then ring() end
return #fresh
