"""Schedulers that people already have, one file each, behind `conductor.ports.engine`."""
