"""One attempt from its start to its receipt: lease, outputs, publishing."""
