"""What a node sees of its host, and reports."""
