"""The child process in which bodies run, and how it is kept apart."""
