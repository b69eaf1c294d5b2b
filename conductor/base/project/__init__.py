"""The project's own folder and code: whose they are, and how they are imported."""
