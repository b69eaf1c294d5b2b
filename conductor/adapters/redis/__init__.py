"""The Redis ledger: one narrow adapter for each port, the atomic steps in `lua/`."""
