"""Rotation of files that only grow: cut off at each step, and while their writers append, each line stands
somewhere once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor.adapters.files import rotation
from conductor.adapters.files.append_only import AppendOnly
from conductor.adapters.files.archives import FOLDER, MARK, header_of, streams
from conductor.adapters.files.rotation import FileBusy, one_rotation, rotate_file, sweep


def line(n: int, writer: str = "w") -> bytes:
    return f'{{"n":{n},"w":"{writer}"}}\n'.encode()


def is_below(most: int) -> Callable[[bytes], bool]:
    return lambda text: int(text.split(b":")[1].split(b",")[0]) < most


def there(folder: Path) -> list[bytes]:
    return [text for _, file in streams(folder, ".jsonl") for text in file if not text.startswith(MARK)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.jsonl"
    path.write_bytes(b"".join(line(n) for n in range(10)))
    return path


ALL = [line(n) for n in range(10)]


def test_what_is_old_is_read_from_the_archive_in_its_order(file: Path) -> None:
    part = rotate_file(file, is_below(6), "s1")

    assert part is not None and part.lines == 6
    assert file.read_bytes().splitlines(keepends=True)[1:] == ALL[6:]
    assert there(file.parent) == ALL
    assert rotate_file(file, is_below(6), "s2") is None, "nothing more is old"
    again = rotate_file(file, is_below(9), "s3")
    assert again is not None and again.lines == 3
    assert there(file.parent) == ALL
    assert sorted(path.name for path in (file.parent / FOLDER).iterdir()) == [
        "s1.w.jsonl.gz",
        "s3.w.jsonl.gz",
    ]


@pytest.mark.parametrize(("keeps", "left"), [(0, 0), (3, 3), (10, 10), (99, 10)])
def test_the_last_lines_stay_however_old(file: Path, keeps: int, left: int) -> None:
    rotate_file(file, is_below(99), "s1", keeps=keeps)
    text = file.read_bytes()
    assert text.count(b"\n") - text.startswith(MARK) == left
    assert there(file.parent) == ALL


def test_a_stump_stays_where_it_is(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b'{"n":1')
    rotate_file(file, is_below(99), "s1")
    assert file.read_bytes().endswith(b'\n{"n":1')


class Cut(BaseException):
    """As a kill: nothing catches it."""


STEPS = ("_sync", "_sync_folder", "_replace", "_unlink", "_lock")


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_cut_off_at_each_step_each_line_stands_somewhere_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """At the n-th step, for each n, before it is made and after; then it is called again."""
    n, is_over = 0, False
    while not is_over:
        folder = tmp_path / str(n)
        folder.mkdir()
        path = folder / "w.jsonl"
        path.write_bytes(b"".join(ALL))
        rotate_file(path, is_below(3), "s1")
        is_over = not cut_at(n, is_done, monkeypatch, lambda path=path: rotate_file(path, is_below(6), "s2"))
        assert there(folder) == ALL, f"step {n}"
        # A worker goes on, and the next rotation too.
        writer = AppendOnly(path)
        writer.append(line(10))
        with one_rotation(folder):
            sweep(folder, ".jsonl")
            rotate_file(path, is_below(8), "s3")
        writer.append(line(11))
        writer.close()
        assert there(folder) == [*ALL, line(10), line(11)], f"step {n}"
        names = [p.name for p in (*folder.iterdir(), *(folder / FOLDER).iterdir())]
        assert not [name for name in names if name.endswith((".part", ".new"))], names
        n += 1
    assert n > 6, "there were steps"


def cut_at(n: int, is_done: bool, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> bool:
    """Was it cut off: there are so many steps."""
    count = -1
    with monkeypatch.context() as patch:
        for name in STEPS:
            real = getattr(rotation, name)

            def step(*args: Any, real: Callable[..., Any] = real) -> None:
                nonlocal count
                count += 1
                mine = count
                if mine == n and not is_done:
                    raise Cut
                try:
                    real(*args)
                finally:
                    if mine == n:
                        raise Cut

            patch.setattr(rotation, name, step)
        try:
            act()
        except Cut:
            return True
        return False


def test_a_live_writer_neither_loses_nor_doubles_a_line(file: Path) -> None:
    writer = AppendOnly(file)
    writer.append(line(10))
    rotate_file(file, is_below(9), "s1")
    assert writer.look() == 0, "nothing was lacking"
    writer.append(line(11))
    rotate_file(file, is_below(12), "s2")
    rotate_file(file, is_below(12), "s3")
    # What was cleared all the same is written again: what is in no archive.
    writer.append(line(12))
    with file.open("r+b") as opened:
        begins = header_of(opened.fileno())[1]
        opened.truncate(begins)
    writer.append(line(13))
    writer.close()
    assert there(file.parent) == [*ALL, line(10), line(11), line(12), line(13)]


def test_a_writer_that_slept_through_several_rotations_adds_nothing(file: Path) -> None:
    writer = AppendOnly(file)
    writer.append(line(10))
    for most in (3, 6, 9):
        rotate_file(file, is_below(most), f"s{most}")
    writer.append(line(11))
    writer.close()
    assert there(file.parent) == [*ALL, line(10), line(11)]


def test_a_folder_that_was_cleared_keeps_what_was_archived_elsewhere(file: Path) -> None:
    rotate_file(file, is_below(6), "s1")
    file.unlink()
    assert there(file.parent) == ALL[:6], "an archive whose file is gone counts"


def test_writers_append_while_it_is_rotated_again_and_again(tmp_path: Path) -> None:
    each, writers = 150, 3
    at_once, has_turned = threading.Barrier(writers + 1), threading.Event()

    def write(name: str) -> None:
        log = AppendOnly(tmp_path / f"{name}.jsonl")
        at_once.wait()
        for n in range(each):
            if n == each // 2:
                has_turned.wait(30)
            log.append(line(n, name))
        log.close()

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(writers)]
    for thread in threads:
        thread.start()
    at_once.wait()
    turn = 0
    while any(thread.is_alive() for thread in threads):
        turn += 1
        if turn > 3:
            has_turned.set()
        for path in sorted(tmp_path.glob("*.jsonl")):
            rotate_file(path, is_below(each), f"s{turn:06}", keeps=2)
        found = there(tmp_path)
        assert len(found) == len(set(found)), "a reader meets none twice"
    assert sorted(there(tmp_path)) == sorted(line(n, f"w{w}") for w in range(writers) for n in range(each))
    assert turn > 3


def test_a_file_that_somebody_holds_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(rotation, "PATIENCE_S", 0.02)
    holder = os.open(file, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(FileBusy, match="held by somebody"):
        rotate_file(file, is_below(6), "s1")
    os.close(holder)
    assert there(file.parent) == ALL
    assert rotate_file(file, is_below(6), "s1") is not None


def test_a_damaged_archive_is_named(file: Path) -> None:
    part = rotate_file(file, is_below(6), "s1")
    assert part is not None
    archive = file.parent / FOLDER / part.file
    archive.write_bytes(archive.read_bytes()[:-9])
    with pytest.raises(OSError, match=r"s1\.w\.jsonl\.gz is damaged"):
        there(file.parent)
