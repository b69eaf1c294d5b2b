-- uses base
-- Before a tick looks at anything: has an heir been handed over meanwhile, its hand-over asks.
--   returns  {heirs handed over so far, how many are named or lined up, whichever are more}
--   reads    conductor:handed_on, heirs, lined
return {tonumber(call('GET', P .. 'handed_on') or '0'), math.max(call('HLEN', P .. 'heirs'), call('HLEN', P .. 'lined'))}
