-- uses base
-- Before a tick looks at anything: has a successor been handed over meanwhile, its hand-over asks.
--   returns  {successors handed over so far, how many are named or preloaded, whichever are more}
--   reads    conductor:successions, successors, preloaded
return {tonumber(call('GET', P .. 'successions') or '0'), math.max(call('HLEN', P .. 'successors'), call('HLEN', P .. 'preloaded'))}
