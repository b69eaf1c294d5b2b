"""`conductor` and `python -m conductor`."""

from conductor.commands.app import main

if __name__ == "__main__":
    main()
