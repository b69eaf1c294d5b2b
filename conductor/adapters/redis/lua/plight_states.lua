-- uses base
-- What is known against endpoints.
--   returns  {rate key, Plight JSON, ..}
--   reads    conductor:plights
return call('HGETALL', P .. 'plights')
