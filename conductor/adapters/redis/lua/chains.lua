-- Shared: the files that jobs write for each other, and the chains they tie jobs into. Needs base.lua.
--   conductor:files  hash  id -> chain number|FileJob JSON: jobs that write a file others read, or read one
--   conductor:chain:N  list  their ids, in the order they came
--   conductor:chain_seq  int  numbers given out
--   conductor:chain_merged  hash  N -> number of the chain that it became part of
--   conductor:chain_file  hash  path -> N, as long as the file may still be read
--   conductor:chain_node  hash  N -> node: where it was begun; gone when nothing of it runs or lies there
--   conductor:chain_busy  hash  N -> members that are admitted or running, plus files that lie there for
--       somebody
--   conductor:chain_revision  hash  N -> grows with every change of its members
--   conductor:chain_made:N  hash  path -> JSON {node, bytes, job_id, attempt}: files that lie there, with
--       readers left
--   conductor:readers:PATH  set  ids that read it and are not done
--   conductor:removable  hash  path -> JSON {path, node, bytes, job_id, attempt}: nobody needs it any more;
--       it lies there until its room is wanted
--   conductor:removable_order:NODE:ROOT  zset  the same paths, score: which came first
--   conductor:removable_seq, conductor:removable_bytes  int; hash NODE|ROOT -> bytes of the same
--   conductor:removing  hash  path -> the same JSON: its node removes it now, nobody can have it back;
--       NODE|path -> the same of a copy that another one took the place of
--   conductor:removed_once  set  paths that were let go once: an attempt that makes one again makes it for
--       readers, not as a result
--   conductor:written  list  ms|node|root|bytes: what came onto a disk lately, a quarter of a second together
local WRITTEN_MS, WRITTEN_TOGETHER_MS = 60000, 250
-- Of so many disks the last one's moment is looked for.
local WRITTEN_DISKS = 16

local has_files = call('EXISTS', P .. 'files') == 1
local function files_of(id)
  if not has_files then return nil end
  local text = call('HGET', P .. 'files', id)
  if not text then return nil end
  local bar = string.find(text, '|', 1, true)
  return string.sub(text, 1, bar - 1), string.sub(text, bar + 1)
end

local function chain_touched(number)
  call('HINCRBY', P .. 'chain_revision', number, 1)
end

local function chain_busier(number, n)
  if call('HINCRBY', P .. 'chain_busy', number, n) <= 0 then
    call('HDEL', P .. 'chain_busy', number)
    call('HDEL', P .. 'chain_node', number)
  end
end

local function root_of(path)
  return string.match(path, '^([a-z][a-z0-9_]*):') or ''
end

local function count_removable(fact, sign)
  local field = fact.node .. '|' .. root_of(fact.path)
  if call('HINCRBY', P .. 'removable_bytes', field, whole(sign * tonumber(fact.bytes))) <= 0 then
    call('HDEL', P .. 'removable_bytes', field)
  end
end

-- Nobody needs it any more: its room may be had.
local function mark_removable(path, text)
  local fact = cjson.decode(text)
  call('HSET', P .. 'removable', path, text)
  call('ZADD', P .. 'removable_order:' .. fact.node .. ':' .. root_of(path), call('INCR', P .. 'removable_seq'), path)
  call('SADD', P .. 'removed_once', path)
  count_removable(fact, 1)
end

-- It is no longer one of those. Its JSON, and its node, where it was.
local function unmark_removable(path)
  local text = call('HGET', P .. 'removable', path)
  if not text then return nil end
  local fact = cjson.decode(text)
  call('HDEL', P .. 'removable', path)
  call('ZREM', P .. 'removable_order:' .. fact.node .. ':' .. root_of(path), path)
  count_removable(fact, -1)
  return text, fact.node
end

-- Another copy took its place, or nobody wants it: its node removes it. Under a name of its own, for the path
-- itself may lie elsewhere and be wanted there.
local function drop_copy(node, path, text)
  call('HSET', P .. 'removing', node .. '|' .. path, text)
end

-- Its writer makes it again: what is still to be removed at that name may be the new one by then.
local function forget_removal(path)
  for _, key in ipairs(call('HKEYS', P .. 'removing')) do
    if key == path or string.sub(key, -#path - 1) == '|' .. path then call('HDEL', P .. 'removing', key) end
  end
end

-- The last reader is done.
local function path_is_read(number, path)
  local made = P .. 'chain_made:' .. number
  local text = call('HGET', made, path)
  if not text then return end
  call('HDEL', made, path)
  call('HDEL', P .. 'chain_file', path)
  mark_removable(path, text)
  chain_busier(number, -1)
end

-- Somebody is to read it again before it was removed. Of one that is being removed nothing is taken back: its
-- writer runs again.
local function take_path_back(number, path)
  local text, node = unmark_removable(path)
  if not text then return end
  call('HSET', P .. 'chain_made:' .. number, path, text)
  call('HSET', P .. 'chain_file', path, number)
  call('HSETNX', P .. 'chain_node', number, node)
  chain_busier(number, 1)
end

-- From `move` of base.lua: what a change of state means for the files of a job.
files_moved = function(id, old, new)
  local number, text = files_of(id)
  if not number then return end
  number = chain_number(number)
  chain_touched(number)
  local was_going, is_going = old == 'a' or old == 'r', new == 'a' or new == 'r'
  if was_going ~= is_going then chain_busier(number, is_going and 1 or -1) end
  if new ~= 'd' and old ~= 'd' then return end
  local file = cjson.decode(text)
  for _, path in ipairs(file.reads or {}) do
    if new == 'd' then
      call('SREM', P .. 'readers:' .. path, id)
      if call('EXISTS', P .. 'readers:' .. path) == 0 then path_is_read(number, path) end
    else
      call('SADD', P .. 'readers:' .. path, id)
      take_path_back(number, path)
    end
  end
  if old == 'd' then
    for path in pairs(file.writes or {}) do
      local made = call('HGET', P .. 'chain_made:' .. number, path)
      unmark_removable(path)
      forget_removal(path)
      if made then
        call('HDEL', P .. 'chain_made:' .. number, path)
        local fact = cjson.decode(made)
        if fact.job_id ~= id then drop_copy(fact.node, path, made) end
        chain_busier(number, -1)
      end
      call('HSET', P .. 'chain_file', path, number)
    end
  end
end

-- Admitted or adopted there: from its first job on, a chain stays where its files are.
local function chain_begun(id, node)
  local number = files_of(id)
  if number then call('HSETNX', P .. 'chain_node', chain_number(number), node) end
end

-- Each tick reads all of them: what lands on a disk within a moment is one, as of the moment's end.
local function note_written(node, root, bytes)
  local head = table.concat({whole(math.ceil(now_ms / WRITTEN_TOGETHER_MS) * WRITTEN_TOGETHER_MS), node, root, ''}, '|')
  for at, text in ipairs(call('LRANGE', P .. 'written', -WRITTEN_DISKS, -1)) do
    if string.sub(text, 1, #head) == head then
      call('LSET', P .. 'written', math.max(0, call('LLEN', P .. 'written') - WRITTEN_DISKS) + at - 1,
        head .. whole(tonumber(string.sub(text, #head + 1)) + bytes))
      return
    end
  end
  call('RPUSH', P .. 'written', head .. whole(bytes))
end

-- A transfer has brought files of its chain to its node: from now on they lie there, and the copies that they were
-- made of are removed. Once nothing is left on the node that the chain was on, it goes on here.
local function files_brought(number, id, attempt, node, outputs)
  local made = P .. 'chain_made:' .. number
  for path, bytes in pairs(outputs) do
    local text = cjson.encode({path = path, node = node, bytes = whole(bytes), job_id = id, attempt = attempt})
    local was = call('HGET', made, path)
    if was then
      local old = cjson.decode(was).node
      call('HSET', made, path, text)
      if old ~= node then drop_copy(old, path, was) end
    elseif call('EXISTS', P .. 'readers:' .. path) == 1 then
      -- A ledger that was rebuilt: the one it was made of is gone already.
      call('HSET', made, path, text)
      call('HSETNX', P .. 'chain_node', number, node)
      chain_busier(number, 1)
    else
      drop_copy(node, path, text)
    end
  end
  local home = call('HGET', P .. 'chain_node', number)
  for _, text in ipairs(call('HVALS', made)) do
    if cjson.decode(text).node == home then return end
  end
  if home then call('HSET', P .. 'chain_node', number, node) end
end

-- Accepted: what it left on the disks of its node. `written`: JSON {node, outputs {path: bytes}}.
local function files_written(id, attempt, written)
  written = cjson.decode(written)
  local node, outputs = written.node, written.outputs
  local number, text = files_of(id)
  local file = number and cjson.decode(text) or {}
  local writes, is_transfer = file.writes or {}, file.bound_for == node
  if is_transfer then
    number = chain_number(number)
    files_brought(number, id, attempt, node, outputs)
    chain_touched(number)
  end
  local by_root = {}
  for path, bytes in pairs(outputs) do
    local root = root_of(path)
    if root ~= '' then by_root[root] = (by_root[root] or 0) + bytes end
    local is_wanted = writes[path] and call('EXISTS', P .. 'readers:' .. path) == 1
    local fact = {path = path, node = node, bytes = whole(bytes), job_id = id, attempt = attempt}
    local text = writes[path] and cjson.encode(fact)
    if writes[path] and not is_wanted and call('SISMEMBER', P .. 'removed_once', path) == 1 then mark_removable(path, text) end
    if is_wanted then
      number = chain_number(number)
      if call('HSET', P .. 'chain_made:' .. number, path, text) == 1 then chain_busier(number, 1) end
      call('HSETNX', P .. 'chain_node', number, node)
      chain_touched(number)
    end
  end
  for root, bytes in pairs(by_root) do
    if bytes > 0 then note_written(node, root, bytes) end
  end
  local eldest = call('LINDEX', P .. 'written', 0)
  while eldest and tonumber(string.match(eldest, '^%d+')) < now_ms - WRITTEN_MS do
    call('LPOP', P .. 'written')
    eldest = call('LINDEX', P .. 'written', 0)
  end
end

-- Two chains that turn out to share a file. The smaller goes into the larger.
local function chains_joined(one, other)
  if call('LLEN', P .. 'chain:' .. one) < call('LLEN', P .. 'chain:' .. other) then one, other = other, one end
  for _, id in ipairs(call('LRANGE', P .. 'chain:' .. other, 0, -1)) do call('RPUSH', P .. 'chain:' .. one, id) end
  local made = call('HGETALL', P .. 'chain_made:' .. other)
  for i = 1, #made, 2 do call('HSET', P .. 'chain_made:' .. one, made[i], made[i + 1]) end
  local node, busy = call('HGET', P .. 'chain_node', other), call('HGET', P .. 'chain_busy', other)
  if node then call('HSETNX', P .. 'chain_node', one, node) end
  if busy then call('HINCRBY', P .. 'chain_busy', one, busy) end
  call('DEL', P .. 'chain:' .. other, P .. 'chain_made:' .. other)
  for _, key in ipairs({'chain_node', 'chain_busy', 'chain_revision'}) do call('HDEL', P .. key, other) end
  call('HSET', P .. 'chain_merged', other, one)
  chain_touched(one)
  return one
end

-- A new job with files goes into the chain of those it shares one with. `readers`: path -> {id, ..}, all that
-- are known to read what it writes, also those that are not put yet: nothing is let go before they are done.
local function chain_in(id, is_done, text, readers)
  local file = cjson.decode(text)
  local paths, number = {}, nil
  for _, path in ipairs(file.reads or {}) do paths[#paths + 1] = path end
  for path in pairs(file.writes or {}) do paths[#paths + 1] = path end
  for _, path in ipairs(paths) do
    local known = call('HGET', P .. 'chain_file', path)
    if known then
      known = chain_number(known)
      number = (not number or number == known) and known or chains_joined(number, known)
    end
  end
  number = number or tostring(call('INCR', P .. 'chain_seq'))
  for _, path in ipairs(paths) do call('HSET', P .. 'chain_file', path, number) end
  has_files = true
  call('HSET', P .. 'files', id, number .. '|' .. text)
  call('RPUSH', P .. 'chain:' .. number, id)
  chain_touched(number)
  for path, ids in pairs(readers) do
    for _, other in ipairs(ids) do
      local job = job_of(other)
      if not job or job.letter ~= 'd' then
        call('SADD', P .. 'readers:' .. path, other)
      else
        call('SADD', P .. 'removed_once', path)
      end
    end
  end
  for _, path in ipairs(file.reads or {}) do
    call(is_done and 'SREM' or 'SADD', P .. 'readers:' .. path, id)
    if not is_done then
      take_path_back(number, path)
    elseif call('EXISTS', P .. 'readers:' .. path) == 0 then
      path_is_read(number, path)
    end
  end
end
