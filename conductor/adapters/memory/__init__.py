"""In-memory twins of the Redis adapters: for tests and `simulate`, held to the same contract suite."""
