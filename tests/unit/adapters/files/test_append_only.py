"""A file that is taken from under its writer (removed, moved, emptied, mounted over): nothing goes into
the void.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.adapters.files import append_only
from conductor.adapters.files.append_only import AppendOnly

Harm = Callable[[Path], object]


def line(number: int) -> bytes:
    return b"%03d\n" % number


@pytest.fixture
def log(tmp_path: Path) -> AppendOnly:
    log = AppendOnly(tmp_path / "receipts" / "w.jsonl")
    for number in range(3):
        log.append(line(number))
    return log


def removed(file: Path) -> None:
    file.unlink()


def with_its_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def moved(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def mounted_over(file: Path) -> None:
    moved(file)
    file.parent.mkdir()


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def cut(file: Path) -> None:
    os.truncate(file, 6)


def replaced_by_another(file: Path) -> None:
    file.unlink()
    file.write_bytes(b"of somebody\n" + line(1))


HARMS = [removed, with_its_folder, moved, mounted_over, emptied, cut, replaced_by_another]


@pytest.mark.parametrize("harm", HARMS)
def test_what_was_written_is_there_after_the_next_append(log: AppendOnly, harm: Harm) -> None:
    harm(log.file)
    log.append(line(3))
    assert {line(n) for n in range(4)} <= set(log.file.read_bytes().splitlines(keepends=True))
    log.append(line(4))
    lines = log.file.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(set(lines)) and set(map(line, range(5))) <= set(lines)


@pytest.mark.parametrize("harm", HARMS)
def test_also_what_was_on_its_way_just_then(
    log: AppendOnly, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", real)
        harm(log.file)
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    log.append(line(3))
    assert {line(n) for n in range(4)} <= set(log.file.read_bytes().splitlines(keepends=True))


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("way", [AppendOnly.look, AppendOnly.close])
def test_also_where_nothing_more_is_appended(
    log: AppendOnly, harm: Harm, way: Callable[[AppendOnly], object]
) -> None:
    harm(log.file)
    way(log)
    assert {line(n) for n in range(3)} <= set(log.file.read_bytes().splitlines(keepends=True))


def test_what_a_file_had_before_this_writer_comes_along(tmp_path: Path) -> None:
    file = tmp_path / "w.jsonl"
    file.write_bytes(b"of before\n" + b"x" * append_only.RECENT_BYTES + b"\ntorn")
    log = AppendOnly(file)
    log.append(line(1))
    file.unlink()
    log.append(line(2))
    assert file.read_bytes().startswith(b"of before\nx") and file.read_bytes().endswith(b"torn\n001\n002\n")


def test_what_cannot_be_written_again_now_is_written_later(
    log: AppendOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.file.unlink()
    real = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        log.look()
    with pytest.raises(OSError, match="full"):
        log.append(line(3))
    monkeypatch.setattr(os, "write", real)
    log.append(line(4))
    assert sorted(log.file.read_bytes().split()) == [b"000", b"001", b"002", b"004"]


def test_a_share_that_is_gone_cannot_be_read_and_what_is_remembered_is_written(
    log: AppendOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, stale = os.pread, os.open(log.file, os.O_RDONLY)
    gone = os.fstat(stale).st_ino
    os.close(stale)

    def pread(fd: int, length: int, at: int) -> bytes:
        if os.fstat(fd).st_ino == gone:
            raise OSError(errno.ESTALE, "stale")
        return real(fd, length, at)

    log.file.rename(log.file.with_name("aside"))
    monkeypatch.setattr(os, "pread", pread)
    log.append(line(3))
    assert log.file.read_bytes() == b"".join(map(line, range(4)))


def test_a_file_in_its_place_costs_one_look_and_is_not_read(
    log: AppendOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: pytest.fail("it was read"))
    log.append(line(3))
    assert log.look() == 0


def test_a_device_in_its_place_is_not_read_to_its_end_which_it_has_not(tmp_path: Path):
    """/dev/full answers each write as a full disk does, and each read with noughts."""
    file = tmp_path / "w.jsonl"
    file.symlink_to("/dev/full")
    log = AppendOnly(file)
    with pytest.raises(OSError, match="No space"):
        log.append(line(0))
    file.unlink()

    log.append(line(1))

    assert file.read_bytes() == line(1)


def test_a_disk_that_stays_full_costs_one_descriptor(log: AppendOnly, monkeypatch: pytest.MonkeyPatch):
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(append_only.os, "fsync", full)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with pytest.raises(OSError, match="No space"):
                log.append(line(3))
        assert len(list(Path("/proc/self/fd").iterdir())) <= before

    log.append(line(4))
    assert log.file.read_bytes().endswith(line(4))
