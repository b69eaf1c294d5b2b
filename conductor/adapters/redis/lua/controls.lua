-- uses base
-- The operator's standing word.
--   returns  {paused {LANE | NODE/DEVICE | backlog:B, ..}, draining {NODE | *, ..}}
--   reads    conductor:paused, draining
return {call('SMEMBERS', P .. 'paused'), call('SMEMBERS', P .. 'draining')}
