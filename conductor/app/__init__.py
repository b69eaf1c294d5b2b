"""The entries: the command line, `up`, `conduct`, and the processes they start."""
