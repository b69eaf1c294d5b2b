"""What is written for people to read: logs, the output of jobs, standard streams."""
