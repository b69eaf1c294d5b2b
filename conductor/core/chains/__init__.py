"""Jobs that read each other's files on one disk: orders in which they never block each other."""
