"""What bodies print is bounded while they run, kept a file a body, and costs those nothing that are
silent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.base.logs import job_output
from conductor.base.logs.job_output import BODY_BYTES
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.base.logs.two_streams import unmarked
from conductor.views.job_log import LogFollower
from tests.child_scene import ChildScene
from workers.isolation import printed_output
from workers.isolation.printed_output import Printed

BODIES = """
import logging, os, subprocess, sys
from workers import task

@task("body.says", lane="cpu")
def says(args, ctx):
    print(args["text"])
    return {}

@task("body.silent", lane="cpu")
def silent(args, ctx):
    return {}

@task("body.floods", lane="cpu")
def floods(args, ctx):
    print("the first line", flush=True)
    if args.get("by_program"):
        subprocess.run(["sh", "-c", f"yes 0123456 | head -c {args['bytes']}"])
    else:
        for _ in range(args["bytes"] >> 20):
            os.write(1, b"0123456\\n" * (1 << 17))
    print("the last line")
    return {}

@task("body.mixes", lane="cpu")
def mixes(args, ctx):
    logging.getLogger().addHandler(handler := logging.StreamHandler())
    for n in range(40):
        print("out", n)
        print("err", n, file=sys.stderr)
    print("half ", end="")
    logging.warning("a warning between")
    logging.getLogger().removeHandler(handler)
    print("a line")
    sys.stderr.write("its last word")
    if args.get("dies"):
        os.kill(os.getpid(), 9)
    return {}

@task("body.by_library", lane="cpu")
def by_library(args, ctx):
    os.write(2, b"from C\\n")
    subprocess.run(["sh", "-c", "echo to stderr >&2; echo again >&2"])
    print("back", flush=True)
    return {}

@task("body.by_program", lane="cpu")
def by_program(args, ctx):
    subprocess.run(["sh", "-c", "echo one; echo two >&2; echo three; echo four >&2; echo five"])
    return {}

@task("body.fails", lane="cpu")
def fails(args, ctx):
    raise ValueError("a word of its own")
"""
FLOOD_BYTES = 400 << 20
#: First and last words, the slack, and what is written between two looks on a busy machine.
MOST_ON_DISK = 250 << 20


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildScene]:
    scene = ChildScene(tmp_path, BODIES)
    yield scene
    scene.close()


class Fullest:
    """The most that a file occupies while somebody writes into it."""

    def __init__(self, file: Path) -> None:
        self.bytes = 0
        self._file = file
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.001):
            if self._file.exists():
                self.bytes = max(self.bytes, self._file.stat().st_blocks * 512)

    def __enter__(self) -> Fullest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize("by_program", [False, True])
def test_a_flood_is_bounded_while_it_runs_and_cut_in_the_middle(child: ChildScene, by_program: bool):
    child.run("body.silent")
    with Fullest(child.host.printed.file) as fullest:
        assert child.run("body.floods", {"bytes": FLOOD_BYTES, "by_program": by_program}).cause is None

    assert 0 < fullest.bytes < MOST_ON_DISK
    (text,) = child.printed()
    assert text.startswith("the first line\n") and text.endswith("the last line\n")
    assert "\n… 399 MiB left out …\n" in text
    assert len(text) < BODY_BYTES + 100
    assert "\0" not in text, "no hole was read as words"
    child.host.printed.clean_up()
    assert child.host.printed.size() == 0


MIXED = [
    *(each for n in range(40) for each in (("stdout", f"out {n}"), ("stderr", f"err {n}"))),
    ("stderr", "a warning between"),
    ("stdout", "half a line"),
    ("stderr", "its last word"),
]


def kept_lines(text: str) -> list[tuple[str, str]]:
    return [(stream, line.decode()) for stream, line in map(unmarked, text.encode().splitlines())]


def test_each_line_knows_its_stream_and_stands_where_it_was_written(child: ChildScene):
    child.run("body.mixes")
    child.run("body.by_library")
    child.run("body.by_program")
    child.run("body.fails")

    mixed, native, program, failed = map(kept_lines, child.printed())
    assert mixed == MIXED
    assert native == [("stderr", "from C"), ("stderr", "to stderr"), ("stderr", "again"), ("stdout", "back")]
    assert program == [
        ("stdout", "one"), ("stderr", "two"), ("stdout", "three"), ("stderr", "four"), ("stdout", "five"),
    ]  # fmt: skip
    assert {stream for stream, _ in failed} == {"stderr"}
    assert failed[-1][1].endswith("ValueError: a word of its own")


def test_a_body_that_was_killed_leaves_every_line_with_its_stream(child: ChildScene):
    child.host.ensure(())
    child.host.begin()
    spec = child.give("body.mixes", {"dies": True})
    with pytest.raises(EOFError):
        child.hear()
    # Also while nobody has put them into a file of its own.
    file = child.host.printed.file
    note = RunningNote(child.settings.logs_dir, "w")
    note.tell(RunningOutput(job_id=spec.id, attempt=1, file=str(file), start=0, pid=os.getpid()))
    followed = list(LogFollower(child.settings.logs_dir, spec.id).news())
    assert [(stream, text) for _, stream, text in followed] == MIXED[:-1]
    child.host.keep_words(spec.id, "1.abcd")

    assert kept_lines(child.printed()[-1]) == MIXED


def test_each_body_has_its_own_and_a_silent_one_none(child: ChildScene):
    child.run("body.says", {"text": "one"})
    child.run("body.silent")
    child.run("body.says", {"text": "two"})
    child.run("body.fails")

    *said, failed = child.printed()
    assert said == ["one\n", "two\n"]
    assert "ValueError: a word of its own" in failed


def test_after_a_flood_the_next_ones_words_are_whole(child: ChildScene):
    child.run("body.floods", {"bytes": 64 << 20})
    child.run("body.says", {"text": "x" * 300_000})
    child.run("body.floods", {"bytes": 64 << 20})
    child.host.printed.clean_up()
    child.run("body.says", {"text": "the end"})

    flood, whole, again, end = child.printed()
    assert whole == "x" * 300_000 + "\n" and end == "the end\n"
    assert [text.count("left out") for text in (flood, again)] == [1, 1]


def test_short_ones_heard_of_late_keep_their_words(tmp_path: Path):
    """Three have printed before the first one's end is heard: as long as they fit into the slack nothing
    is lost.
    """
    page = Printed(tmp_path / "worker.out", tmp_path)
    sink = page.open().stdout
    ends: list[int] = []
    for letter in b"abc":
        sink.write(bytes([letter]) * (2 << 20))
        ends.append(sink.tell())
    page.look()
    for n, end in enumerate(ends):
        page.end(f"job{n}", "1", end)
    words = [file.read_text() for file in sorted(tmp_path.glob("jobs/*/*.out"))]
    assert [(text[:3], text[-3:], text.count("768 KiB left out")) for text in words] == [
        ("aaa", "aaa", 1), ("bbb", "bbb", 1), ("ccc", "ccc", 1),
    ]  # fmt: skip
    page.close()


def test_where_no_holes_can_be_made_the_file_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(printed_output, "_punch", lambda *_: False)
    page = Printed(tmp_path / "worker.out", tmp_path)
    sink = page.open().stdout
    sink.write(b"x" * (20 << 20))
    page.look()
    assert page.size() == 0
    sink.write(b"the end")
    assert page.tail(100) == "the end"
    page.end("job", "1")
    assert next(tmp_path.glob("jobs/*/job.1.out")).read_text() == "the end"
    page.close()


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("conductor.base.secrets._known", {"swordfish"})
    page = Printed(tmp_path / "worker.out", tmp_path)
    sink = page.open().stdout
    sink.write(b"the key is swordfish \xff\n")
    page.end("job", "1")
    assert next(tmp_path.glob("jobs/*/job.1.out")).read_bytes() == b"the key is *** \xff\n"
    page.close()


def test_the_oldest_days_go_first_and_todays_never(tmp_path: Path):
    now, day = 1_700_000_000.0, 86_400.0
    for age in range(5):
        file = job_output.file_of(tmp_path, "job", "1", now - age * day)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 100)
        os.utime(file, (now - age * day, now - age * day))

    assert job_output.prune(tmp_path, now) == []
    assert [f.name for f in job_output.prune(tmp_path, now, most_days=3)] == ["2023-11-10"]
    assert [f.name for f in job_output.prune(tmp_path, now, most_bytes=250)] == ["2023-11-12", "2023-11-11"]
    assert [f.name for f in job_output.prune(tmp_path, now, most_bytes=0)] == ["2023-11-13"]
    assert [file.parent.name for file in job_output.files_of(tmp_path, "job")] == ["2023-11-14"]


def test_a_secret_that_a_body_prints_stays_nowhere(child: ChildScene, monkeypatch: pytest.MonkeyPatch):
    from conductor.base import secrets

    monkeypatch.setattr(secrets, "_known", {"hunter2/hunter2"})
    said = "hunter2/hunter2 and hunter2%2Fhunter2 and aHVudGVyMi9odW50ZXIy"
    for n in range(3):
        child.run("body.says", {"text": f"{n}: {said}"})
    found = [file for file in child.settings.logs_dir.rglob("*.out") if file.is_file()]
    assert len(found) >= 4, "one a body, and the worker's own"
    for file in found:
        text = file.read_text()
        assert "hunter2" not in text and "aHVudGVy" not in text and "***" in text
