"""What a job's bodies printed: stdout, stderr and the traceback, attempt by attempt, also while one runs.

What ended is in a file of its own (`conductor.base.logs.job_output`). What runs still prints into its
worker's file; where its words begin there the worker notes of jobs that last for more than half a second. All
lies on the host that ran it. The text is the program's own: whoever shows it writes out what a terminal would
obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from conductor.base import secrets
from conductor.base.logs import job_output
from conductor.base.logs.running_output import RunningOutput, notes_of
from conductor.base.text import printable, size
from conductor.model.spec import Value

AGAIN_S = 0.3
#: So much of a body is told at once.
MOST_NEWS = 2 << 20


class PrintedByAttempt(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One body. `file`: where it stands; `start`, `bytes`: from where on, and how much."""

    attempt: int
    body: str
    file: str
    start: int = 0
    bytes: int = 0
    is_running: bool = False
    text: str = ""


def printed_of(logs_dir: Path, job_id: str, attempt: int | None = None) -> list[PrintedByAttempt]:
    """What is kept of its bodies, the oldest first, without the texts; of one attempt, or of all."""
    found = [
        PrintedByAttempt(attempt=int(number), body=body, file=str(file), bytes=file.stat().st_size)
        for file in job_output.files_of(logs_dir, job_id)
        if (number := (body := _body(file)).partition(".")[0]).isdecimal()
    ]
    ended = {each.attempt for each in found}
    found += [
        PrintedByAttempt(
            attempt=note.attempt, body=str(note.attempt), file=note.file, is_running=True,
            start=note.start, bytes=max(0, _size(note) - note.start),
        )
        for note in notes_of(logs_dir, job_id)
        if note.attempt not in ended
    ]  # fmt: skip
    return [each for each in found if attempt is None or each.attempt == attempt]


def text_of(printed: PrintedByAttempt, logs_dir: Path, job_id: str, most: int = 8 << 20) -> str:
    """At most the last so many bytes of it. Without secrets; otherwise as it was printed."""
    start = 0
    if printed.is_running:
        notes = [note for note in notes_of(logs_dir, job_id) if note.attempt == printed.attempt]
        start = notes[0].start if notes else _size_of(printed.file)
    try:
        with Path(printed.file).open("rb") as source:
            source.seek(max(start, _size_of(printed.file) - most))
            return secrets.scrub(source.read(most).decode("utf-8", "replace"))
    except OSError:
        return ""


class LogFollower:
    """A job's words as they come, each line once. An ask costs by what came, not by what was printed."""

    def __init__(self, logs_dir: Path, job_id: str, attempt: int | None = None) -> None:
        self._logs_dir, self._job_id, self._attempt = logs_dir, job_id, attempt
        #: Attempt → bytes that were read, and those of them whose line is not whole yet.
        self._read: dict[int, int] = {}
        self._rest: dict[int, bytes] = {}

    def news(self) -> Iterator[tuple[int, str]]:
        """(attempt, line), without secrets. Of a flood the last `MOST_NEWS`, and how much was left out. Where
        the words of a body moved into a file of their own, they are read on from there."""
        for printed in printed_of(self._logs_dir, self._job_id, self._attempt):
            at = printed.attempt
            left_out, news = self._news_of(printed)
            if left_out:
                self._rest.pop(at, None)
                yield at, f"… {size(left_out)} are left out …"
            *lines, left = (self._rest.pop(at, b"") + news).split(b"\n")
            if left and printed.is_running:
                self._rest[at] = left
            elif left:
                lines.append(left)
            yield from ((at, secrets.scrub(line.decode("utf-8", "replace"))) for line in lines)

    def _news_of(self, printed: PrintedByAttempt) -> tuple[int, bytes]:
        """What was cut out of the middle of a flood makes the kept text shorter than what was read of it."""
        seen = self._read.get(printed.attempt, 0)
        begins = max(seen, printed.bytes - MOST_NEWS)
        if printed.bytes <= begins:
            return 0, b""
        try:
            with Path(printed.file).open("rb") as source:
                source.seek(printed.start + begins)
                news = source.read(printed.bytes - begins)
        except OSError:
            return 0, b""
        self._read[printed.attempt] = begins + len(news)
        return begins - seen, news


def followed(
    logs_dir: Path,
    job_id: str,
    is_over: Callable[[], bool],
    attempt: int | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[int, str]]:
    """(attempt, line) as they come, until the job is over and all of it was read."""
    follower = LogFollower(logs_dir, job_id, attempt)
    while True:
        was_over = is_over()
        yield from follower.news()
        if was_over:
            return
        pause(AGAIN_S)


def lines_of(text: str) -> list[str]:
    """For a terminal: each line with what it would obey written out; tabs are blanks."""
    return [printable(line.expandtabs().rstrip("\r")) for line in text.split("\n")]


def _body(file: Path) -> str:
    return file.name.removesuffix(job_output.SUFFIX).partition(".")[2]


def _size(note: RunningOutput) -> int:
    return _size_of(note.file)


def _size_of(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0
