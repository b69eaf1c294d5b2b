"""`conductor` and `python -m conductor`."""

if __name__ == "__main__":
    from conductor import strange_folder

    strange_folder.off_path(__file__)

from conductor import streams
from conductor.commands import app


def main() -> None:
    streams.settle()
    app.main()


if __name__ == "__main__":
    main()
