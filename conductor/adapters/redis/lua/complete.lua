-- uses base history
-- A dispatch is whole in this ledger. Whoever keeps this keeps all that went before it.
--   ARGV     the history in which it began, its content, the number of its note
--   returns  1, or 0 where the server serves another history by now: nobody knows then what of it was
--            forgotten
--   writes   conductor:complete_dispatches  hash  content -> number: of the MOST that came last. Asked for
--            are those of the last seconds; what is not found there is put again, and that adds nothing.
local MOST = 1000
if ARGV[1] ~= history() then return 0 end
call('HSET', P .. 'complete_dispatches', ARGV[2], ARGV[3])
if call('HLEN', P .. 'complete_dispatches') > MOST then
  local flat, rows = call('HGETALL', P .. 'complete_dispatches'), {}
  for i = 1, #flat, 2 do rows[#rows + 1] = {flat[i], tonumber(flat[i + 1])} end
  table.sort(rows, function(one, other)
    if one[2] ~= other[2] then return one[2] < other[2] end
    return one[1] < other[1]
  end)
  for i = 1, #rows - MOST do call('HDEL', P .. 'complete_dispatches', rows[i][1]) end
end
return 1
