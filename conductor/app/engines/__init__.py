"""The leader's part that asks engines for pilots."""
