"""What the ads workflow works out: leads, credit, posteriors, fatigue, vectors; and its store's tables."""
