-- uses base
-- What is known against endpoints.
--   returns  {rate key, EndpointFault JSON, ..}
--   reads    conductor:endpoint_faults
return call('HGETALL', P .. 'endpoint_faults')
