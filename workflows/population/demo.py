"""2,000 virtual people in eight chunks, their percentiles held against the analytic solution."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    """Nothing has to be there before."""
    yield ["--people", "10000", "--chunk", "1250", "--seed", "7"]
