"""What is wrong, by rules over one look at everything; and when people are told of it. Pure."""
