"""What `verify` can find out about outputs by looking at them."""
