"""A simulated cluster: the very same decision, on a clock that jumps from event to event."""
