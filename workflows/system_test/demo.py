"""Twelve jobs of every kind in a SQLite store: echoes, sleeps, lifecycles of rows, and two that drive the
store with many threads at once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conductor.base.settings.settings import CONFIG_NAME

SETTINGS = """
[roots.data]
path = "data"
headroom_bytes = 0

[stores.main]
url = "sqlite:data/main.db"
"""


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    settings = folder / CONFIG_NAME
    if "[stores.main]" not in settings.read_text(encoding="utf-8"):
        with settings.open("a", encoding="utf-8") as file:
            file.write(SETTINGS)
    yield ["--mode", "backlog", "--store", "main", "--count", "12", "--rounds", "10"]
