"""Football: a detector that stands in for a trained one, tracks, what is heard, and the rules of events."""
