"""Roots that a worker could not write to: a small file each in `state_dir/suspects`, for the node of this
host.

The node tries to write there itself and closes the root's gate while it cannot: so the next jobs are not
burnt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.files.safe_open import make_own

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def folder_of(layout: Layout) -> Path:
    return layout.state_dir / "suspects"


def tell(folder: Path, roots: Iterable[str]) -> None:
    """Best effort: the attempt's receipt has the words."""
    with suppress(OSError):
        make_own(folder)
        for root in roots:
            (folder / root).touch()


def read(folder: Path) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
    except OSError:
        return frozenset()


def clear(folder: Path, root: str) -> None:
    with suppress(OSError):
        (folder / root).unlink(missing_ok=True)
