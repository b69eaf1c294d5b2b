"""When the night will be through, and what it will have cost."""
