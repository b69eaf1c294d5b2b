"""What is on disk: manifests, receipts, the journal. The record that Redis can be rebuilt from."""
