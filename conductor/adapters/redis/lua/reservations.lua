-- uses base
-- All that is admitted or running, a line of JSON each: one string is read faster than ten thousand.
--   reads    conductor:active
return table.concat(call('HVALS', P .. 'active'), '\n')
