-- uses base
-- Ring the bell; it does not ring twice.
--   writes   conductor:wake
ring()
