-- uses base history
-- Which history this server serves.
--   returns  RUN_ID.REPLICATION_ID
return history()
