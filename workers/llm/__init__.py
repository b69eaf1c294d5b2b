"""Language models behind an OpenAI-shaped API."""
