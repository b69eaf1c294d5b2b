"""How values stand in Redis, and back."""
