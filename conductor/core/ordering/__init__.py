"""Whose turn it is: fair share, age, backfill, orders tried beforehand."""
