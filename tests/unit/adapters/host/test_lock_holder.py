"""Whose lock it is, where the file does not say so in words that this version reads."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from conductor.adapters.host.processes import live_pid, lock_holder, note_pid


@pytest.mark.parametrize(
    "text", [b"4711", b'{"pid": 1, "started": 1.0, "boot": "of an earlier way to tell"}', b""]
)
def test_who_holds_the_lock_of_a_file_that_another_version_wrote_is_found(tmp_path: Path, text: bytes):
    file = tmp_path / "up.lock"
    file.write_bytes(text)
    assert live_pid(file) is None, "nobody holds it"
    lock = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert live_pid(file) == lock_holder(file) == os.getpid()
        assert file.read_bytes() == text
        note_pid(lock)
        assert live_pid(file) == os.getpid()
    finally:
        os.close(lock)
    assert lock_holder(file) is None


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path: Path):
    assert live_pid(tmp_path / "none") is None
