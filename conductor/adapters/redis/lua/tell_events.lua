-- Into the stream of events, the oldest first.
--   ARGV     about so many are kept, then per event: itself (ToldEvent JSON)
--   writes   conductor:events
for i = 2, #ARGV do
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', ARGV[1], '*', 'e', ARGV[i])
end
