-- uses base rq waiting
-- The operator's word: the gate of a rate key opens at once. Of an endpoint that was not well one job asks
-- first; who has asked it in vain waits no longer for the end of its own back-off.
--   ARGV     rate key
--   returns  1 if it was closed, or had one ask first
--   writes   conductor:closed_rates, endpoint_faults, delayed, class:C, ready, bell
local was_closed = call('ZREM', P .. 'closed_rates', ARGV[1])
local text = call('HGET', P .. 'endpoint_faults', ARGV[1])
if text then
  local known = cjson.decode(text)
  -- Its waits begin anew.
  known.times = 1
  call('HSET', P .. 'endpoint_faults', ARGV[1], cjson.encode(known))
end
local asks = {}
local function is_asking(class)
  if asks[class] == nil then
    asks[class] = (cjson.decode(descriptor_of(class)).needs.rates or {})[ARGV[1]] ~= nil
  end
  return asks[class]
end
for _, id in ipairs(call('ZRANGE', P .. 'delayed', 0, -1)) do
  local job = job_of(id)
  if is_asking(job.class) then
    call('ZREM', P .. 'delayed', id)
    rest(id, job)
  end
end
ring()
return (was_closed == 1 or text) and 1 or 0
