"""When a lock's file counts as removed, and when only as away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host.state_folder_watch import is_gone


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "up.lock"


@pytest.fixture
def lock(file: Path) -> Iterator[int]:
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_a_file_that_is_there_is_not_gone(file: Path, lock: int) -> None:
    assert not is_gone(lock, file)


def test_one_that_was_removed_is_gone_also_when_another_bears_its_name(file: Path, lock: int) -> None:
    file.unlink()
    assert is_gone(lock, file)
    file.touch()
    assert is_gone(lock, file)


def test_a_folder_that_was_moved_and_linked_to_is_there(file: Path, lock: int) -> None:
    folder = file.parent
    folder.rename(folder.with_name("larger"))
    assert is_gone(lock, file)
    folder.symlink_to("larger")
    assert not is_gone(lock, file)


def test_what_cannot_be_looked_at_is_not_gone(file: Path, lock: int) -> None:
    assert not is_gone(lock, file.with_name("x" * 300)), "as a share that is away: an error, but not that one"
