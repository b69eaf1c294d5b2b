-- uses base
-- A node takes its report away: it is not gone, it has left.
--   ARGV     node
--   writes   conductor:node:NODE, nodes, left (hash node -> ms), bell
call('DEL', P .. 'node:' .. ARGV[1])
call('SREM', P .. 'nodes', ARGV[1])
call('HSET', P .. 'left', ARGV[1], whole(now_ms))
ring()
