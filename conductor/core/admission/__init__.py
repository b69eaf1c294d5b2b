"""The decision of one tick: gates, successors, and why the rest waits."""
