"""What every room may use: errors, settings, secrets, logs, files. It knows the model only."""
