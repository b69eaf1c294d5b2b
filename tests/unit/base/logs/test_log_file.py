"""One log file, several processes: each puts it aside when it is full, and none loses a line."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conductor.base.logs import log_file
from conductor.base.logs.log_file import LogFile

#: argv: file, own name, lines. Logs as `conductor conduct` does, into files of 4,000 bytes of which 400 are
#: kept.
WRITER = """
import sys
from pathlib import Path
from loguru import logger
from conductor.base.logs import logs
logs.MOST_BYTES, logs.KEPT_FILES = 4000, 400
folder, name, count = sys.argv[1:]
logs.set_up(Path(folder), "conduct", level="CRITICAL")
sys.stdin.readline()
for n in range(int(count)):
    logger.bind(who=name, n=n).info("line {}", n)
"""


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("conduct*.jsonl"))


def test_two_processes_that_put_it_aside_at_once_lose_no_line_and_break_none(tmp_path: Path):
    names, count = ("a", "b", "c"), 1500
    argv = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*argv, name, str(count)], stdin=subprocess.PIPE) for name in names]
    for writer in writers:
        release(writer)

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]

    files = files_of(tmp_path)
    seen = Counter(
        (line["who"], line["n"]) for file in files for line in map(json.loads, file.read_text().splitlines())
    )
    assert seen == Counter({(name, n): 1 for name in names for n in range(count)})
    assert len(files) > 50, "it was put aside again and again"
    assert all(file.stat().st_size <= 4000 for file in files)
    # By number from the newest to the oldest: nobody wrote into a file after it had been put aside.
    numbered = sorted(
        (int(file.name.split(".")[1]) for file in files if file.name != "conduct.jsonl"), reverse=True
    )
    assert numbered == list(range(len(files) - 1, 0, -1))
    in_order = [tmp_path / f"conduct.{n}.jsonl" for n in numbered] + [tmp_path / "conduct.jsonl"]
    for name in names:
        lines = [json.loads(line) for file in in_order for line in file.read_text().splitlines()]
        assert [line["n"] for line in lines if line["who"] == name] == list(range(count))


def release(writer: "subprocess.Popen[bytes]") -> None:
    assert writer.stdin is not None
    writer.stdin.write(b"go\n")
    writer.stdin.close()


def test_all_of_it_together_stays_within_its_bound(tmp_path: Path):
    log = LogFile(tmp_path / "node.jsonl", 1000, 3)

    for n in range(500):
        log.write(f"{n:09}\n")
    log.stop()

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["node.1.jsonl", "node.2.jsonl", "node.3.jsonl", "node.jsonl"]
    assert sum(file.stat().st_size for file in files) <= 4000
    assert (tmp_path / "node.jsonl").read_text().endswith("000000499\n")


def test_a_line_larger_than_a_file_is_written_whole(tmp_path: Path):
    log = LogFile(tmp_path / "node.jsonl", 100, 3)

    for line in ("a" * 500 + "\n", "b\n"):
        log.write(line)
    log.stop()

    assert (tmp_path / "node.1.jsonl").read_text() == "a" * 500 + "\n"
    assert (tmp_path / "node.jsonl").read_text() == "b\n"


def test_a_process_stopped_while_it_holds_the_lock_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_file, "PATIENCE_S", 0.01)
    file = tmp_path / "node.jsonl"
    log = LogFile(file, 1000, 3)
    code = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1, "
        "flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout and holder.stdout.readline()
    try:
        log.write("a line\n")
        assert file.read_text() == "a line\n"
    finally:
        holder.communicate("\n", timeout=10)
        log.stop()


def test_a_file_that_was_removed_is_begun_anew(tmp_path: Path):
    log = LogFile(tmp_path / "node.jsonl", 1000, 3)
    log.write("one\n")
    log.path.unlink()

    log.write("two\n")
    log.stop()

    assert log.path.read_text() == "two\n"


def test_a_disk_without_room_costs_the_line_and_not_the_work(tmp_path: Path):
    log = LogFile(tmp_path / "node.jsonl", 1000, 3)
    os.close(log._fd)  # pyright: ignore[reportPrivateUsage]
    log._fd = os.open("/dev/full", os.O_WRONLY)  # pyright: ignore[reportPrivateUsage]
    log.path.unlink()
    log.path.symlink_to("/dev/full")

    log.write("one\n")
    assert log.lost == 1

    log.path.unlink()
    log.write("two\n")
    log.stop()
    assert (log.lost, log.path.read_text()) == (0, "two\n")
