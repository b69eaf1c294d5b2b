-- uses base
-- Is this the ledger we know, and is it being rebuilt.
--   returns  {the ledger's mark or false, ms for which it is settling}
--   reads    conductor:generation, settling
return {call('GET', P .. 'generation'), math.max(0, call('PTTL', P .. 'settling'))}
