"""`conductor smoke`: a small run, measured, and held against the one before."""
