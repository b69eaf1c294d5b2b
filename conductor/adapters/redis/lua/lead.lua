-- uses base history
-- Take the lead, or renew it.
--   ARGV     owner, time to live (ms), the step (history.lua) that it was told last
--   returns  {the epoch, step, 1 or 0: the ledger is settled}, or false while somebody else leads. Where the
--            server serves another history than that for which the ledger is settled the epoch is a new one,
--            also for who led before: it begins to settle.
--   writes   conductor:leader (string "EPOCH OWNER", PX), conductor:epoch, leader_seen; what history.lua
--            names; successor_feed:WORKER
local UNREAD_MS = 60000
-- So many times as long as anybody asks for comes of another server's clock.
local AHEAD = 10
local owner, ttl_ms = ARGV[1], ARGV[2]
local text = call('GET', P .. 'leader')
local epoch, current
if text then
  epoch, current = string.match(text, '^(%d+) (.*)$')
  if current ~= owner then
    -- Given by a server whose clock was ahead: a leader that died with it would lead on for as long as that.
    if call('PTTL', P .. 'leader') > AHEAD * tonumber(ttl_ms) then call('PEXPIRE', P .. 'leader', ttl_ms) end
    return false
  end
end
witness(tonumber(ARGV[3]))
local turning = call('GET', P .. 'settling_history')
local begins = not is_settled() and not (turning and string.match(turning, '^%S+') == history())
if not epoch or begins then
  -- Above the clock as well: a Redis that forgot everything must not hand out an old leader's number again.
  epoch = whole(math.max(tonumber(call('GET', P .. 'epoch') or '0') + 1, now_ms))
  call('SET', P .. 'epoch', epoch)
end
if begins then
  call('DEL', P .. 'reported_workers', P .. 'reported_attempts', P .. 'successors', P .. 'off_queue_at')
  call('SET', P .. 'settling_history', table.concat({history(), epoch, call('GET', P .. 'leader_seen') or '0', whole(now_ms)}, ' '))
  -- A roll call: each says at once what it holds.
  for _, worker in ipairs(silent()) do
    call('RPUSH', P .. 'successor_feed:' .. worker, cmsgpack.pack(false))
    call('PEXPIRE', P .. 'successor_feed:' .. worker, UNREAD_MS)
  end
end
call('SET', P .. 'leader', epoch .. ' ' .. owner, 'PX', ttl_ms)
call('SET', P .. 'leader_seen', whole(now_ms))
return {tonumber(epoch), step(), is_settled() and 1 or 0}
