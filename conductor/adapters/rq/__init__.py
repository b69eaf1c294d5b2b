"""What is known of RQ: its envelope, and a reader that changes nothing."""
