-- uses base
-- Take the lead, or renew it.
--   ARGV     owner, time to live (ms)
--   returns  the epoch, or false while somebody else leads
--   writes   conductor:leader (string "EPOCH OWNER", PX), conductor:epoch
local owner, ttl_ms = ARGV[1], ARGV[2]
local text = call('GET', P .. 'leader')
if text then
  local epoch, current = string.match(text, '^(%d+) (.*)$')
  if current ~= owner then return false end
  call('PEXPIRE', P .. 'leader', ttl_ms)
  return tonumber(epoch)
end
-- Above the clock as well: a Redis that forgot everything must not hand out an old leader's number again.
local epoch = math.max(tonumber(call('GET', P .. 'epoch') or '0') + 1, now_ms)
call('SET', P .. 'epoch', whole(epoch))
call('SET', P .. 'leader', whole(epoch) .. ' ' .. owner, 'PX', ttl_ms)
return epoch
