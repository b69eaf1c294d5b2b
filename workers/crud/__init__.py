"""The life of rows in a store, from the first to the last step, and how long each step took."""
