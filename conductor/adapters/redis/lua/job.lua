-- uses base
-- All the ledger knows of one job, in one look.
--   ARGV[1]  id
--   ARGV[2]  so many of those it waits for are named
--   returns  false, or msgpack {letter, attempts, since (ms), descriptor JSON, line, not before (ms) or '',
--            {waits for ..}, {letter or '?', n, ..: all it waits for}, Reservation JSON or '',
--            {cause, n, .., 'cause', c, 'message', m}, jobs before it or '', accepted body or ''}
--   reads    conductor:state, jobs, classes, delayed, waits_for:ID, waits_for_end:ID, reservations,
--            failures:ID, class:NO
local id, most = ARGV[1], tonumber(ARGV[2])
local job = job_of(id)
if not job then return false end

-- What keeps it for good first, then what is under way: of ten thousand nobody reads all. '?' is in no
-- backlog.
local RANK = {x = 1, c = 2, v = 3, ['?'] = 4, r = 5, a = 6, w = 7, d = 8}
local named, counts = {}, {}

local function is_before(rank, id, row)
  if rank ~= row.rank then return rank < row.rank end
  return id < row.id
end

local function add(other, letter)
  counts[letter] = (counts[letter] or 0) + 1
  local rank, at = RANK[letter], #named + 1
  if at > most then
    if not is_before(rank, other, named[most]) then return end
    at = most
  end
  while at > 1 and is_before(rank, other, named[at - 1]) do
    named[at] = named[at - 1]
    at = at - 1
  end
  named[at] = {id = other, rank = rank}
end

local others = call('SUNION', P .. 'waits_for:' .. id, P .. 'waits_for_end:' .. id)
for first = 1, #others, 500 do
  local last = math.min(first + 499, #others)
  for i, text in ipairs(call('HMGET', P .. 'state', unpack(others, first, last))) do
    add(others[first + i - 1], text and string.sub(text, 1, 1) or '?')
  end
end
local waits_for, waits = {}, {}
for i, row in ipairs(named) do waits_for[i] = row.id end
for letter, n in pairs(counts) do
  waits[#waits + 1] = letter
  waits[#waits + 1] = n
end
return cmsgpack.pack({
  job.letter, job.attempts, (call('GET', P .. 'created_ms') or 0) + job.since,
  call('HGET', P .. 'classes', job.class),
  line_of(id),
  call('ZSCORE', P .. 'delayed', id) or '',
  waits_for,
  waits,
  call('HGET', P .. 'reservations', id) or '',
  call('HGETALL', P .. 'failures:' .. id),
  call('ZRANK', P .. 'class:' .. job.class, id) or '',
  job.accepted,
})
