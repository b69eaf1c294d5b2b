"""What jobs are known to need: estimates from receipts, and what runs now."""
