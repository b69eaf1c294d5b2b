-- uses base rq chains steps breakers
-- The operator's word: a closed kind is tried at once, whatever was tried before. Kinds of a task go by its
-- name too.
--   ARGV     kind, or the name of its task
--   returns  how many kinds were closed
--   writes   conductor:breakers, bell
local closed = 0
local seen = {}
for _, field in ipairs(call('HKEYS', KINDS)) do
  local kind = string.match(field, '^(.*)@')
  local is_meant = kind == ARGV[1] or string.sub(kind, 1, #ARGV[1] + 1) == ARGV[1] .. ':'
  if is_meant and not seen[kind] then
    seen[kind] = true
    if kind_resumed(kind) then closed = closed + 1 end
  end
end
ring()
return closed
