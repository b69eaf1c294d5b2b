"""Is this machine ready: one look a module, put together in `examination`."""
