"""What is on disk proves what was done: journal, audit, rebuilding, making again."""
