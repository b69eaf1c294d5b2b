"""`conductor top`: the live view with keys, on a terminal."""
