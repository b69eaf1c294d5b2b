-- uses base
-- Before a tick looks at anything: has an heir been handed over meanwhile, its hand-over asks.
--   returns  {heirs handed over so far, heirs that are named}
--   reads    conductor:handed_on, heirs
return {tonumber(call('GET', P .. 'handed_on') or '0'), call('HLEN', P .. 'heirs')}
