"""`conductor` and `python -m conductor`."""

if __name__ == "__main__":
    from conductor.base.project import current_folder

    current_folder.off_path(__file__)

from typing import NoReturn

from conductor.base import gc_pause

gc_pause.seldom()

from conductor.app.cli import app  # noqa: E402  its imports are what the collector is kept from
from conductor.base.last_act import last_act  # noqa: E402
from conductor.base.logs import standard_streams  # noqa: E402


def main() -> NoReturn:
    standard_streams.settle()
    last_act(app.main)


if __name__ == "__main__":
    main()
