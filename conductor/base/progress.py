"""How far something is that takes long: one line that stands still on a terminal, one now and then in a
pipe.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from conductor.base.text import duration, many

#: What is over sooner says nothing.
QUIET_S = 1.0
ON_TERMINAL_S = 0.2
IN_PIPE_S = 5.0


class Progress:
    """`with Progress() as progress: work(on_progress=progress.of("dispatching", "job"))`. Says it on
    stderr.
    """

    def __init__(self, out: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._out = sys.stderr if out is None else out
        self._now = now
        self._is_terminal = self._out.isatty()
        self._began = now()
        self._next = self._began + QUIET_S
        self._shown = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wipe()

    def counted(self, doing: str, noun: str) -> Callable[[int], None]:
        """(done): nobody knows how many there are."""
        return lambda done: self._tell(doing, noun, done, None)

    def of(self, doing: str, noun: str) -> Callable[[int, int], None]:
        """(done, in all)."""
        return lambda done, total: self._tell(doing, noun, done, total)

    def _tell(self, doing: str, noun: str, done: int, total: int | None) -> None:
        now = self._now()
        if now < self._next:
            return
        self._next = now + (ON_TERMINAL_S if self._is_terminal else IN_PIPE_S)
        share = "" if total is None or not total else f" of {total} ({done / total:.0%})"
        line = f"{doing}: {many(done, noun) if total is None else done}{share}, {duration(now - self._began)}"
        if self._is_terminal:
            self._wipe()
            self._shown = len(line)
            self._out.write(line)
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def _wipe(self) -> None:
        if self._shown:
            self._out.write("\r" + " " * self._shown + "\r")
            self._out.flush()
            self._shown = 0
