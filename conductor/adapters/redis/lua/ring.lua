-- uses base
-- Ring the bell; it does not ring twice.
--   writes   conductor:bell
ring()
