"""Long reads of the ledger, in slices that hold up nobody."""
