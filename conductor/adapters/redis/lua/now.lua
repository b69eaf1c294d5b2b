-- uses base
-- Redis's clock.
--   returns  {seconds, microseconds}
return clock
