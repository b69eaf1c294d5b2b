"""Databases that jobs work on, by `[stores.NAME]`: SQLite and PostgreSQL behind one port
(`conductor.ports.store`).
"""
