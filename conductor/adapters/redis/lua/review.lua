-- uses base rq chains steps breakers
-- What waits of a kind goes into review, so many at a time: those that may go now, and those that wait out a
-- back-off. Who comes after one of them waits there with it.
--   ARGV     epoch, kind, at most so many
--   returns  how many, those that come after them left out; FENCED when the epoch is not the current one
--   writes   conductor:class:C, ready, delayed, state, count:B, breakers
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
local kind, left = ARGV[2], tonumber(ARGV[3])
local kind_of_class, moved = {}, 0

local function is_of_kind(number)
  if not kind_of_class[number] then
    kind_of_class[number] = cjson.decode(call('HGET', P .. 'classes', number)).kind or ''
  end
  return kind_of_class[number] == kind
end

local function take(id)
  local job = job_of(id)
  if not is_of_kind(job.class) then return end
  shelve(id, job)
  moved, left = moved + 1, left - 1
end

for _, number in ipairs(call('SMEMBERS', P .. 'ready')) do
  if left > 0 and is_of_kind(number) then
    for _, id in ipairs(call('ZRANGE', P .. 'class:' .. number, 0, left - 1)) do take(id) end
  end
end
if left > 0 then
  for _, id in ipairs(call('ZRANGE', P .. 'delayed', 0, -1)) do
    if left > 0 then take(id) end
  end
end
if left > 0 then
  each_code(kind, function(field, record)
    if record.opened_at then
      record.is_reviewed = true
      write_kind(field, record)
    end
  end)
end
if moved > 0 then ring() end
return moved
