-- uses base
-- All that is admitted or running, as one JSON array: one string is read faster than ten thousand.
--   reads    conductor:active
return '[' .. table.concat(call('HVALS', P .. 'active'), ',') .. ']'
