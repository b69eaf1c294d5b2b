-- uses base
-- How long the tasks take that are over in milliseconds, as their workers see it.
--   returns  msgpack {task, seconds, ..}
--   reads    conductor:task_durations
return cmsgpack.pack(call('HGETALL', P .. 'task_durations'))
