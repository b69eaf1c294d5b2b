-- uses base
-- How far running jobs are, for programs that listen. What comes late, of an attempt that is over, is not told:
-- the state that stands there is newer.
--   ARGV     per job: id, attempt, what is told (JSON)
--   writes   conductor:status:ID and has_status, for an hour unless it is renewed; publishes on conductor:progress:ID
for i = 1, #ARGV, 3 do
  local id, text = ARGV[i], call('HGET', P .. 'reservations', ARGV[i])
  local held = text and cjson.decode(text)
  if held and held.state == 'running' and held.attempt == tonumber(ARGV[i + 1]) then
    call('SET', P .. 'status:' .. id, ARGV[i + 2], 'PX', 3600000)
    states.noted()
    call('PUBLISH', P .. 'progress:' .. id, ARGV[i + 2])
  end
end
