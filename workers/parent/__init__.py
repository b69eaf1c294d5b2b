"""The worker's own process: what it takes, what runs, what it answers for."""
