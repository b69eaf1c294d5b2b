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
from conductor.base.text import printable
from conductor.model.spec import Value

AGAIN_S = 0.3


class PrintedByAttempt(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One body. `file`: where it stands; `bytes`: how much."""

    attempt: int
    body: str
    file: str
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
            bytes=max(0, _size(note) - note.start),
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


def followed(
    logs_dir: Path,
    job_id: str,
    is_over: Callable[[], bool],
    attempt: int | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[int, str]]:
    """(attempt, line) as they come, until the job is over and all of it was read. A body whose words move
    into a file of their own is read on from there."""
    told: dict[int, int] = {}
    rest: dict[int, str] = {}
    while True:
        was_over = is_over()
        for printed in printed_of(logs_dir, job_id, attempt):
            text = text_of(printed, logs_dir, job_id)
            seen = told.get(printed.attempt, 0)
            # What was cut out of the middle of a flood makes the kept text shorter than what was seen.
            news = text[seen:] if len(text) >= seen else ""
            told[printed.attempt] = max(seen, len(text))
            *lines, left = (rest.pop(printed.attempt, "") + news).split("\n")
            yield from ((printed.attempt, line) for line in lines)
            if left and not printed.is_running:
                yield printed.attempt, left
            elif left:
                rest[printed.attempt] = left
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
