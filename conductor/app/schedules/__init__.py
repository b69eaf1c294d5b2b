"""Schedules at work: what a fire does, and the leader's thread that fires."""
