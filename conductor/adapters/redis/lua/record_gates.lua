-- uses base
-- Replace the gate ledger.
--   ARGV     epoch, JSON
--   writes   conductor:gate_ledger; FENCED when the epoch is not the current one
if fenced(tonumber(ARGV[1])) then return refuse('this conductor no longer leads') end
call('SET', P .. 'gate_ledger', ARGV[2])
