"""The door for models: the HTTP API as tools of the Model Context Protocol."""
