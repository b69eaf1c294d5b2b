-- uses base
-- A node's report, stamped with Redis time.
--   ARGV     node, JSON without sent_at, time to live (ms)
--   writes   conductor:node:NODE (PX), nodes, bell
call('SET', P .. 'node:' .. ARGV[1], '{"sent_at":' .. seconds(now_ms) .. ',' .. string.sub(ARGV[2], 2), 'PX', ARGV[3])
call('SADD', P .. 'nodes', ARGV[1])
ring()
