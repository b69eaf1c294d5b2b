"""The built-in tasks: declarations here are cheap to import, bodies import their libraries inside."""
