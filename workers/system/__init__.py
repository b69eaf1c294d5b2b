"""Process trees, and how they end."""
