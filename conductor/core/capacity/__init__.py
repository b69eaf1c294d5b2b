"""What there is, what is taken of it, and what a job asks for."""
