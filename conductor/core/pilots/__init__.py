"""Which pilots an engine is asked for, and what is known of those that were. Pure."""
