-- uses base history
-- Is this the ledger we know, and is it being rebuilt, or settled.
--   returns  {the ledger's mark or false, ms for which it is being rebuilt, ms since which it is being
--            settled or -1, when the leader was heard for the last time before that (ms), workers that have
--            not said what they hold}
--   reads    conductor:generation, rebuild_grace, settling_history, reported_workers, workers;
--            rq:worker:WORKER
local generation, rebuilt_ms = call('GET', P .. 'generation'), math.max(0, call('PTTL', P .. 'rebuild_grace'))
if is_settled() then return {generation, rebuilt_ms, -1, 0, 0} end
local beat, since = string.match(call('GET', P .. 'settling_history') or '', ' (%d+) (%d+)$')
return {generation, rebuilt_ms, math.max(0, now_ms - tonumber(since or now_ms)), tonumber(beat or '0'), #silent()}
