-- uses base
-- What the leader keeps of the APIs.
--   returns  {learned {rate key, KeyMemory JSON, ..}, handed out {ID-aN KEY, BudgetShare JSON, ..}, spent
--            {HOUR KEY | known, n, ..}}
--   reads    conductor:rates, rate_reserved, spent
return {call('HGETALL', P .. 'rates'), call('HGETALL', P .. 'rate_reserved'), call('HGETALL', P .. 'spent')}
