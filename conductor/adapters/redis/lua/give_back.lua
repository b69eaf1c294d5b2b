-- uses base rq chains history steps attempts
-- An attempt that nobody started goes back: admitted(attempt) -> waiting, at no cost to the job's budgets.
--   ARGV     id, attempt
--   returns  1, or 0 when it was not in that attempt any more, or had been started
--   writes   what `give_back_one` of attempts.lua touches
return give_back_one(ARGV[1], tonumber(ARGV[2]))
