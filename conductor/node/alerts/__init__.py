"""Who looks whether something is wrong, and tells people: a thread of each node, one of which speaks."""
