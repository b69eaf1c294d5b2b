"""The leader's tick: observe, decide, apply, and what it keeps between two ticks."""
