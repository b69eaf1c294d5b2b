-- uses base
-- The node of a pilot comes up.
--   ARGV     key, who it is
--   returns  '' it may; 'claimed': another one came under this key; or the state in which it was given up
--   writes   conductor:pilot_claims
local text = call('HGET', P .. 'pilots', ARGV[1])
if text then
  local state = cjson.decode(text).state or 'asking'
  if state ~= 'asking' and state ~= 'placed' then return state end
end
call('HSETNX', P .. 'pilot_claims', ARGV[1], ARGV[2])
if call('HGET', P .. 'pilot_claims', ARGV[1]) == ARGV[2] then return '' end
return 'claimed'
