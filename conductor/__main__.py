"""`conductor` and `python -m conductor`."""

if __name__ == "__main__":
    from conductor.base.project import current_folder

    current_folder.off_path(__file__)

from conductor.app.cli import app
from conductor.base.logs import standard_streams


def main() -> None:
    standard_streams.settle()
    app.main()


if __name__ == "__main__":
    main()
