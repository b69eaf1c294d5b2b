"""What a worker says that is started after another one died at start: passed on, and its last words known."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress

from conductor.base import secrets

#: Of the end of what was said so much is looked at, and so much of its last line is told.
_TAIL_BYTES = 4096
_MOST_WORDS = 300


class StartOutput:
    """A file without a name: a pipe would break under a worker that outlives its node."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the worker
        self._passed_on = 0

    def pass_on(self) -> None:
        """What is new goes where our own words go."""
        while data := os.pread(self.file.fileno(), 1 << 16, self._passed_on):
            self._passed_on += len(data)
            with suppress(OSError, ValueError):
                sys.stderr.buffer.write(data)
                sys.stderr.flush()

    def last_words(self) -> str:
        """The last line that says something: of a traceback, the error. Without secrets."""
        start = max(0, os.fstat(self.file.fileno()).st_size - _TAIL_BYTES)
        said = os.pread(self.file.fileno(), _TAIL_BYTES, start).decode("utf-8", "replace")
        line = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
        return secrets.scrub(line)[:_MOST_WORDS]

    def close(self) -> None:
        self.file.close()
