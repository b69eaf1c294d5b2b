"""What a node removes: staging, files that were read for the last time, orphaned receipts."""
