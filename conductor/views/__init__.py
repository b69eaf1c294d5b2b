"""What a person reads: each answer made from one look, apart from how it is printed."""
