"""Another user of this machine, for tests: what belongs to them, and commands as they would run them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: A user that nobody has.
STRANGER = 54_321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def give_away(*places: Path, uid: int = STRANGER) -> None:
    for place in places:
        os.chown(place, uid, uid, follow_symlinks=False)
