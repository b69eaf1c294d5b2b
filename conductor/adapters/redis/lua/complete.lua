-- uses base history
-- A dispatch is whole in this ledger. Whoever keeps this keeps all that went before it.
--   ARGV     the history in which it began, its content, the number of its note
--   returns  1, or 0 where the server serves another history by now: nobody knows then what of it was
--            forgotten
--   writes   conductor:complete_dispatches  hash  content -> number
if ARGV[1] ~= history() then return 0 end
call('HSET', P .. 'complete_dispatches', ARGV[2], ARGV[3])
return 1
