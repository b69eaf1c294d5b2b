-- uses base
-- Before a tick looks at anything: has a successor been handed over meanwhile, its hand-over asks.
--   returns  {successors handed over so far, how many are named or lined up, whichever are more}
--   reads    conductor:handed_on, successors, lined
return {tonumber(call('GET', P .. 'handed_on') or '0'), math.max(call('HLEN', P .. 'successors'), call('HLEN', P .. 'lined'))}
