"""What a job's bodies printed: stdout, stderr and the traceback, attempt by attempt, also while one runs.

What ended is in a file of its own (`conductor.base.logs.job_output`). What runs still prints into its
worker's file; where its words begin there the worker notes of jobs that last for more than half a second. All
lies on the host that ran it. The lines of both streams stand in the order in which they were written. The
text is the program's own: whoever shows it writes out what a terminal would obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from conductor.base import secrets
from conductor.base.logs import job_output
from conductor.base.logs.running_output import RunningOutput, notes_of
from conductor.base.logs.two_streams import Lines, Stream, runs, stderr_ranges, unmarked
from conductor.base.text import printable, size
from conductor.model.spec import Value

AGAIN_S = 0.3
#: What stands before a line where a person looks at both streams.
STREAM_SIGNS: dict[Stream, str] = {"stdout": "   │ ", "stderr": "err│ "}
#: So much of a body is told at once.
MOST_NEWS = 2 << 20


class PrintedByAttempt(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One body. `file`: where it stands; `start`, `bytes`: from where on, and how much. `stderr_lines`: which
    lines of the text, from 0, were written to stderr.
    """

    attempt: int
    body: str
    file: str
    start: int = 0
    bytes: int = 0
    is_running: bool = False
    text: str = ""
    stderr_lines: tuple[int, ...] = ()


class PrintedLine(NamedTuple):
    """Without secrets; otherwise as it was printed."""

    stream: Stream
    text: str


class FollowedLine(NamedTuple):
    attempt: int
    stream: Stream
    text: str


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


def lines_printed(
    printed: PrintedByAttempt, logs_dir: Path, job_id: str, most: int = 8 << 20
) -> list[PrintedLine]:
    """At most the last so many bytes of it, as lines."""
    start, end = 0, _size_of(printed.file)
    if printed.is_running:
        notes = [note for note in notes_of(logs_dir, job_id) if note.attempt == printed.attempt]
        start = notes[0].start if notes else end
    try:
        said = _lines_between(printed, max(start, end - most), end)
    except OSError:
        return []
    return list(_in_words(said))


def text_of(printed: PrintedByAttempt, logs_dir: Path, job_id: str, most: int = 8 << 20) -> str:
    """At most the last so many bytes of it, both streams."""
    return as_text(lines_printed(printed, logs_dir, job_id, most))


def as_text(lines: Sequence[PrintedLine]) -> str:
    return "\n".join(line.text for line in lines)


def stderr_lines(lines: Sequence[PrintedLine]) -> tuple[int, ...]:
    return tuple(n for n, line in enumerate(lines) if line.stream == "stderr")


def _lines_between(printed: PrintedByAttempt, start: int, end: int) -> list[tuple[Stream, bytes]]:
    """The last one is empty where the text ends with a line's end. Raises `OSError`."""
    with Path(printed.file).open("rb") as source:
        source.seek(start)
        said = source.read(end - start)
    if not printed.is_running:
        return [unmarked(line) for line in said.split(b"\n")]
    lines, found = Lines(), list[tuple[Stream, bytes]]()
    for stream, first, last in runs(start, end, stderr_ranges(Path(printed.file), start, end)):
        found += lines.take(stream, said[first - start : last - start])
    return [*found, *(list(lines.rest()) or [("stdout", b"")])]


class LogFollower:
    """A job's words as they come, each line once. An ask costs by what came, not by what was printed."""

    def __init__(self, logs_dir: Path, job_id: str, attempt: int | None = None) -> None:
        self._logs_dir, self._job_id, self._attempt = logs_dir, job_id, attempt
        self._bodies: dict[int, _Body] = {}

    def news(self) -> Iterator[FollowedLine]:
        """Of a flood the last `MOST_NEWS`, and how much was left out. Where the words of a body moved into a
        file of their own, they are read on from there."""
        for printed in printed_of(self._logs_dir, self._job_id, self._attempt):
            body = self._bodies.setdefault(printed.attempt, _Body())
            try:
                news = body.of_running(printed) if printed.is_running else body.of_ended(printed)
            except OSError:
                continue
            for stream, text in _in_words(news):
                yield FollowedLine(printed.attempt, stream, text)


class _Body:
    """What was told of one."""

    def __init__(self) -> None:
        #: Bytes of its worker's file, and whole lines of it.
        self._read = self._told = 0
        self._lines = Lines()
        self._ended_with: int | None = None

    def of_running(self, printed: PrintedByAttempt) -> list[tuple[Stream, bytes]]:
        found = list[tuple[Stream, bytes]]()
        if printed.bytes - self._read > MOST_NEWS:
            found.append(_left_out(printed.bytes - MOST_NEWS - self._read))
            self._lines, self._read = Lines(), printed.bytes - MOST_NEWS
        start, end = printed.start + self._read, printed.start + printed.bytes
        if end <= start:
            return found
        with Path(printed.file).open("rb") as source:
            source.seek(start)
            said = source.read(end - start)
        for stream, first, last in runs(start, end, stderr_ranges(Path(printed.file), start, end)):
            found += self._lines.take(stream, said[first - start : last - start])
        self._read, self._told = self._read + len(said), self._told + len(found)
        return found

    def of_ended(self, printed: PrintedByAttempt) -> list[tuple[Stream, bytes]]:
        """It is kept with the middle cut out of a flood: fewer lines than were told, and nothing is new."""
        if printed.bytes == self._ended_with:
            return []
        self._ended_with = printed.bytes
        start = 0 if self._told else max(0, printed.bytes - MOST_NEWS)
        lines = _lines_between(printed, start, printed.bytes)
        if lines[-1][1] == b"":
            lines.pop()
        news, self._told = lines[self._told :], max(self._told, len(lines))
        return [_left_out(start), *news] if start else news


def _left_out(count: int) -> tuple[Stream, bytes]:
    return "stdout", f"… {size(count)} are left out …".encode()


def followed(
    logs_dir: Path,
    job_id: str,
    is_over: Callable[[], bool],
    attempt: int | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[FollowedLine]:
    """As they come, until the job is over and all of it was read."""
    follower = LogFollower(logs_dir, job_id, attempt)
    while True:
        was_over = is_over()
        yield from follower.news()
        if was_over:
            return
        pause(AGAIN_S)


def _in_words(lines: Iterable[tuple[Stream, bytes]]) -> Iterator[PrintedLine]:
    """A secret may go over several lines of one stream."""
    for stream, group in groupby(lines, key=_stream):
        text = b"\n".join(line for _, line in group).decode("utf-8", "replace")
        for each in secrets.scrub(text).split("\n"):
            yield PrintedLine(stream, each)


def _stream(line: tuple[Stream, bytes]) -> Stream:
    return line[0]


def for_terminal(line: str) -> str:
    """With what a terminal would obey written out; tabs are blanks."""
    return printable(line.expandtabs().rstrip("\r"))


def _body(file: Path) -> str:
    return file.name.removesuffix(job_output.SUFFIX).partition(".")[2]


def _size(note: RunningOutput) -> int:
    return _size_of(note.file)


def _size_of(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0
