"""What is kept in files beside the outputs: receipts, hashes, claims of VRAM."""
