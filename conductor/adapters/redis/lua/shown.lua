-- Shared: which jobs a tick reads. `asked` is msgpack {heads of each class, {class id: heads, where it is
-- another number}, backlogs {name, ..}, none: all}.
--   returns  {{class number, {id, ..}, are these all}, ..}
--   reads  conductor:ready, class:C, class_ids, class_backlog; cost by the number of classes, not of jobs
local function shown(asked)
  local heads, of, backlogs = unpack(cmsgpack.unpack(asked))
  local wanted, lasts = {}, {}
  for _, backlog in ipairs(backlogs) do wanted[backlog] = true end
  for id, count in pairs(of) do lasts[call('HGET', P .. 'class_ids', id) or ''] = count - 1 end
  local found = {}
  for _, number in ipairs(call('SMEMBERS', P .. 'ready')) do
    if #backlogs == 0 or wanted[call('HGET', P .. 'class_backlog', number)] then
      local last = lasts[number] or heads - 1
      local ids = call('ZRANGE', P .. 'class:' .. number, 0, last)
      found[#found + 1] = {number, ids, #ids <= last}
    end
  end
  return found
end
