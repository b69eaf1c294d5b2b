"""The history index: which jobs there are and what became of them, from the record, for a million of them."""
