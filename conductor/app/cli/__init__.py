"""The command line, one file per family. Modules here import light things only: the rest inside the
commands.
"""
