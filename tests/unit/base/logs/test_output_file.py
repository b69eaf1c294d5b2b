"""What a detached run says, kept small while it goes on saying it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.base.logs.output_file import keep_small, predecessor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "up.log"


@pytest.fixture
def fd(file: Path) -> Iterator[int]:
    """As `detach` opens it."""
    with file.open("ab") as sink:
        yield sink.fileno()


def test_a_small_file_is_left_alone(file: Path, fd: int):
    os.write(fd, b"Up\n")

    assert not keep_small(file, 100, fd)

    assert file.read_bytes() == b"Up\n" and not predecessor(file).exists()


def test_beyond_its_size_its_end_is_kept_in_whole_lines_and_it_begins_anew(file: Path, fd: int):
    os.write(fd, b"".join(b"line %03d\n" % n for n in range(100)))

    assert keep_small(file, 100, fd)

    assert file.read_bytes() == b""
    assert predecessor(file).read_bytes() == b"".join(b"line %03d\n" % n for n in range(89, 100))
    os.write(fd, b"x" * 101)
    assert keep_small(file, 100, fd)
    assert predecessor(file).read_bytes() == b"x" * 100
    assert sorted(path.name for path in file.parent.iterdir()) == ["up.1.log", "up.log"]


def test_children_that_were_started_before_write_on_in_the_same_file(file: Path, fd: int):
    says = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with subprocess.Popen([sys.executable, "-c", says], stdin=subprocess.PIPE, stdout=fd, text=True) as child:
        assert child.stdin is not None
        os.write(fd, b"x" * 200 + b"\n")
        assert keep_small(file, 100, fd)
        child.stdin.write("of the child\n")
    os.write(fd, b"of the parent\n")

    assert file.read_bytes() == b"of the child\nof the parent\n"


def test_another_file_than_the_runs_own_is_never_touched(file: Path, fd: int, tmp_path: Path):
    os.write(fd, b"x" * 200)
    (other := tmp_path / "other.log").write_bytes(b"y" * 200)

    assert not keep_small(other, 100, fd)
    assert not keep_small(tmp_path / "none.log", 100, fd)
    reader, writer = os.pipe()
    assert not keep_small(file, 100, writer)
    os.close(reader), os.close(writer)

    assert other.stat().st_size == file.stat().st_size == 200


def test_without_room_for_the_copy_there_is_none_and_the_file_is_small_all_the_same(
    file: Path, fd: int, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    os.write(fd, b"x" * 200)
    monkeypatch.setattr(Path, "write_bytes", full)

    assert keep_small(file, 100, fd)

    assert [path.name for path in file.parent.iterdir()] == ["up.log"] and file.stat().st_size == 0
