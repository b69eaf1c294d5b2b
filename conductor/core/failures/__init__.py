"""What becomes of failed attempts: retries, breakers, what is stuck."""
