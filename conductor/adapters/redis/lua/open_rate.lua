-- uses base
-- The operator's word: the gate of a rate key opens at once. Of an endpoint that was not well one job asks
-- first.
--   ARGV     rate key
--   returns  1 if it was closed, or had one ask first
--   writes   conductor:closed_rates, endpoint_faults, bell
local was_closed = call('ZREM', P .. 'closed_rates', ARGV[1])
local text = call('HGET', P .. 'endpoint_faults', ARGV[1])
if text then
  local known = cjson.decode(text)
  -- Its waits begin anew.
  known.times = 1
  call('HSET', P .. 'endpoint_faults', ARGV[1], cjson.encode(known))
end
ring()
return (was_closed == 1 or text) and 1 or 0
