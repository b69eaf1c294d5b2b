-- uses base
-- Give the lead back, if it is still one's own; a standby is woken.
--   ARGV[1]  owner
--   writes   conductor:leader, resigned (ms), bell
local text = call('GET', P .. 'leader')
if text and string.match(text, '^%d+ (.*)$') == ARGV[1] then
  call('DEL', P .. 'leader')
  call('SET', P .. 'resigned', whole(now_ms))
  ring()
end
