"""When a lock's file counts as removed, and when only as away."""

from __future__ import annotations

import os
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host import state_folder_watch
from conductor.adapters.host.state_folder_watch import FolderWatch, is_gone


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


def test_the_removal_is_noticed_at_once_and_not_at_the_next_look(
    file: Path, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: queue.SimpleQueue[None] = queue.SimpleQueue()
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    monkeypatch.setattr(state_folder_watch, "LOOK_EVERY_S", 3600.0)
    monkeypatch.setattr(state_folder_watch, "AGAIN_S", 0.0)
    monkeypatch.setattr(os, "kill", print)
    watch = FolderWatch(lock, file, lambda: told.put("gone"), lambda: looks.put(None))
    watch.start()
    file.chmod(0o600)
    looks.get(timeout=30)
    assert told.empty()

    shutil.rmtree(file.parent)

    assert told.get(timeout=30) == "gone"
    watch.stop()


def test_a_watch_that_is_to_end_ends_in_the_midst_of_its_wait(file: Path, lock: int) -> None:
    watch = FolderWatch(lock, file, lambda: None, lambda: None)
    watch.start()
    watch.stop()
    assert not watch.is_alive() and not watch.has_gone
