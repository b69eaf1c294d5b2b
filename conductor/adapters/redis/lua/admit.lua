-- uses base rq chains history steps breakers hand_over preload
-- Hand jobs over: per admission waiting -> admitted, the reservation, RQ's own job and its queue entry, or
-- nothing. And name who goes next where running attempts end: these successors, in place of all that were
-- named before.
--   ARGV[1]  msgpack {epoch, constant RQ fields {name, value, ..}, admissions {{id, attempt, queue,
--            Reservation JSON, charges {key: amount}, ceilings {key: limit}, RQ description, node}, ..},
--            successors {{id of the predecessor, its attempt, admission}, ..}, how long they stand (ms),
--            conductor:successions as it was before the tick looked (-1: not asked), when it looked (ms; -1:
--            not told)}
--   ARGV[2..] RQ's `data` field of each admission, then of each successor
--   returns  per admission '' or why not; FENCED when the epoch is not the current one. Where the ledger is
--            not settled (history.lua), or a successor was handed over since the tick looked, none of it
--            holds: it was decided without that one.
--   writes   conductor:offers, reservations, charges, reserved, admitted_at, state, count:B, class:C, ready;
--            successors, preloaded, successor_feed:WORKER; longest_wait (ms), what chains.lua names;
--            rq:queues, rq:job:ENTRY, rq:queue:Q
local epoch, fields, admissions, successors, stand_ms, seen, looked_ms = unpack(cmsgpack.unpack(ARGV[1]))
if fenced(epoch) then return refuse('this conductor no longer leads') end
local is_late = seen >= 0 and tonumber(call('GET', P .. 'successions') or '0') ~= seen
local is_closed = not is_settled()

local answers, short, written = {}, {}, {}
states.counted = {}
local has_claims = call('EXISTS', P .. 'preloaded') == 1
if has_claims or #successors > 0 then written = written_since(looked_ms) end
for i, admission in ipairs(admissions) do
  answers[i] = is_closed and 'Redis may have forgotten what it was told last' or is_late and 'a successor was handed over meanwhile'
    or hand_over(admission, fields, ARGV[i + 1], has_claims and written or {})
  local key = string.match(answers[i], '^over ceiling (.*:bytes)$')
  for _, name in ipairs(key and sums_of(key) or {}) do short[name] = true end
end
call('DEL', P .. 'successors', P .. 'offers')
if not is_late and not is_closed then
  for i, successor in ipairs(successors) do
    local data = ARGV[1 + #admissions + i]
    call('HSET', P .. 'successors', successor[1], cmsgpack.pack({epoch, successor[2], now_ms + stand_ms, fields, successor[3], data, looked_ms}))
  end
  preload_all(successors, fields, function(i) return ARGV[1 + #admissions + i] end, written, short)
end
if longest_ms > tonumber(call('GET', P .. 'longest_wait') or '0') then call('SET', P .. 'longest_wait', whole(longest_ms)) end
states.write_counts()
return answers
