"""conductor.toml and the environment, as one checked value."""
