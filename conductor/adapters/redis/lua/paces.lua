-- uses base
-- How long the tasks take that are over in milliseconds, as their workers see it.
--   returns  msgpack {task, seconds, ..}
--   reads    conductor:paces
return cmsgpack.pack(call('HGETALL', P .. 'paces'))
