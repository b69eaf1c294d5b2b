"""Speech: where somebody speaks, what is said and when, and the captions that come of it."""
