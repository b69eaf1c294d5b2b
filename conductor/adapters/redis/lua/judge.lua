-- uses base
-- A person's word on items that a job shows. On each item the first word stands, whoever comes next.
--   ARGV     id, body (ATTEMPT.TOKEN or ATTEMPT), msgpack {item, verdict JSON, ..}
--   returns  msgpack {item, verdict JSON, ..}: all that stand now; false where the job does not wait for a
--            verdict on that body
--   writes   conductor:review:ID  hash  asked -> JSON of what it shows; held -> JSON {kind, role, code} of a
--            canary; ITEM -> verdict JSON
local id, body, said = ARGV[1], ARGV[2], cmsgpack.unpack(ARGV[3])
local job = job_of(id)
if not job or not review.is_open(job) or job.accepted ~= body then return false end
local key = P .. 'review:' .. id
for i = 1, #said, 2 do call('HSETNX', key, said[i], said[i + 1]) end
local rows, standing = call('HGETALL', key), {}
for i = 1, #rows, 2 do
  if string.find(rows[i], '^%d+$') then
    standing[#standing + 1] = rows[i]
    standing[#standing + 1] = rows[i + 1]
  end
end
return cmsgpack.pack(standing)
