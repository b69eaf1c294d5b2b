-- uses base
-- All that is admitted or running, a line of JSON each: one string is read faster than ten thousand.
--   reads    conductor:reservations
return table.concat(call('HVALS', P .. 'reservations'), '\n')
