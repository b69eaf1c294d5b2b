"""Which fires of a schedule are due, which are skipped, and which wait. The calendar is handed in."""
