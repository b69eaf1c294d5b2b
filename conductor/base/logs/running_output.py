"""Where the words of a body begin that runs: a note of its worker's, `logs/jobs/running/WORKER.json`.

Only of bodies that have run for a moment: of those that are over in milliseconds there are a thousand a
second. A note may outlive its worker; whoever reads it asks whether that process is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from conductor.base.logs.job_output import FOLDER
from conductor.model.spec import Value

RUNNING = "running"


class RunningOutput(Value, frozen=True, kw_only=True):
    job_id: str
    attempt: int
    #: The worker's file, and from which byte on it is this body's.
    file: str
    start: int
    #: Of the worker, on this host.
    pid: int


class RunningNote:
    """One worker's. `tell` again with each body that lasts, None between them."""

    def __init__(self, logs_dir: Path, worker: str) -> None:
        self._file = logs_dir / FOLDER / RUNNING / f"{worker}.json"
        self._is_there = False

    def tell(self, running: RunningOutput | None) -> None:
        """Raises nothing: a log that cannot be followed must not end the work."""
        if running is None:
            if self._is_there:
                self._file.unlink(missing_ok=True)
            self._is_there = False
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(running))
            draft.replace(self._file)
            self._is_there = True


def notes_of(logs_dir: Path, job_id: str) -> Iterator[RunningOutput]:
    """Of the bodies of that job that run on this host."""
    for file in (logs_dir / FOLDER / RUNNING).glob("*.json"):
        try:
            note = msgspec.json.decode(file.read_bytes(), type=RunningOutput)
        except (OSError, msgspec.DecodeError):
            continue
        if note.job_id == job_id and _is_there(note.pid):
            yield note


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
