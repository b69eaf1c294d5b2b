-- uses base rq chains history steps attempts
-- An ok receipt, already durable, becomes the job's accepted one, whatever attempt it is of, unless one came
-- first.
--   ARGV     id, attempt, code version, JSON {node, outputs {path: bytes}} or '', token of its body or '',
--            JSON of what it shows to a person or ''
--   reads    conductor:redone: a receipt that was taken back counts no more
--   returns  accepted (also when this very receipt was: the first answer was lost) | already | gone
--   writes   conductor:state, count:B, review:ID, what `release`, `free` and `revive` of steps.lua touch,
--   conductor:breakers, what chains.lua names
return accept_one(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6])
