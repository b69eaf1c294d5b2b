-- uses base shown
-- What a tick has to know of files and of waiting: the chains that were begun and those of some heads, what
-- written onto the disks lately, the longest wait.
--   ARGV[1]  msgpack {heads {id, ..}, chains the caller knows {number, rev, members, ..}}; heads false: those
--            that `shown` has for ARGV[2]
--   returns  msgpack {created (ms), longest wait (ms), written {..}, chains {{number, node or '', rev, new
--            members {text of `files`, ..}, letters of all or '', files that lie there {path, JSON, ..}},
--            ..}}; of a chain whose rev the caller has, only number, node and rev
--   reads    conductor:files, chain:N, chain_merged, chain_node, chain_revision, chain_made:N, written,
--            longest_wait, state, and what shown.lua names
local heads, flat = unpack(cmsgpack.unpack(ARGV[1]))
local CHUNK = 4000
local known = {}
for i = 1, #flat, 3 do known[flat[i]] = {flat[i + 1], flat[i + 2]} end

-- The same as candidates.lua shows at this instant.
local function all_shown(asked)
  local found = {}
  for _, row in ipairs(shown(asked)) do
    for _, id in ipairs(row[2]) do found[#found + 1] = id end
  end
  return found
end

local wanted, order = {}, {}
local function want(number)
  if not wanted[number] then
    wanted[number] = true
    order[#order + 1] = number
  end
end

if call('EXISTS', P .. 'files') == 1 then
  for _, number in ipairs(call('HKEYS', P .. 'chain_node')) do want(number) end
  heads = heads or all_shown(ARGV[2])
  for first = 1, #heads, CHUNK do
    for _, text in ipairs(call('HMGET', P .. 'files', unpack(heads, first, math.min(first + CHUNK - 1, #heads)))) do
      if text then want(chain_number(string.match(text, '^%d+'))) end
    end
  end
end

local function told(number)
  local rev = call('HGET', P .. 'chain_revision', number) or '0'
  local node = call('HGET', P .. 'chain_node', number) or ''
  local mine = known[number]
  if mine and mine[1] == rev then return {number, node, rev} end
  local ids, fresh, letters = call('LRANGE', P .. 'chain:' .. number, 0, -1), {}, {}
  local first_new = mine and mine[2] + 1 or 1
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    for _, text in ipairs(call('HMGET', P .. 'state', unpack(ids, first, last))) do
      letters[#letters + 1] = text and string.sub(text, 1, 1) or 'c'
    end
    if last >= first_new then
      for _, text in ipairs(call('HMGET', P .. 'files', unpack(ids, math.max(first, first_new), last))) do
        fresh[#fresh + 1] = string.sub(text, string.find(text, '|', 1, true) + 1)
      end
    end
  end
  return {number, node, rev, fresh, table.concat(letters), call('HGETALL', P .. 'chain_made:' .. number)}
end

local chains = {}
for _, number in ipairs(order) do chains[#chains + 1] = told(number) end
return cmsgpack.pack({call('GET', P .. 'created_ms') or '0', tonumber(call('GET', P .. 'longest_wait') or '0'),
  call('LRANGE', P .. 'written', 0, -1), chains})
