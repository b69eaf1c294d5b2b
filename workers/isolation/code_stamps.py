"""Whether a source file is still the one that a child loaded: its stamp then and now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

#: A file's time is the kernel's, which looks at its clock every few milliseconds.
CLOCK_TICK_S = 0.01
NEVER = -1
NOT_YET = float("-inf")
#: Between bodies that follow each other at once files are looked at no more often than this.
LOOK_EVERY_S = 0.005
#: Those of `workers` itself are a hundred and fifty (0.4 ms), and change with an upgrade, which takes longer
#: than this. A worker without work looks at them between two waits, so that no job has to.
LOOK_AT_OURS_EVERY_S = 5.0
OURS = str(Path(__file__).parents[1]) + os.sep
#: But what a body is of: who saves that file means the next job.
TASKS = OURS + "tasks" + os.sep


class LoadedCode:
    """The source files of one child. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._ours: dict[str, int] = {}
        #: Of the project, and of tasks.
        self._of_bodies: dict[str, int] = {}
        self._looked_at = self._looked_at_ours = NOT_YET
        self._found = ""

    def look_again(self) -> None:
        """At what bodies are of, when `changed` is asked next, however soon that is."""
        self._looked_at = NOT_YET

    def know(self, files: Iterable[str], born_at: float, began_at: float, now: float) -> None:
        """These are loaded: ours since the child was born, the new ones of the project by a body that began.
        Epoch seconds, all three."""
        known, self._ours, self._of_bodies = self._ours | self._of_bodies, {}, {}
        for file in files:
            is_ours = file.startswith(OURS)
            stamps = self._ours if is_ours and not file.startswith(TASKS) else self._of_bodies
            loaded_at = born_at if is_ours else began_at
            stamps[file] = known.get(file) or stamp_as_loaded(file, loaded_at, now)

    def changed(self, now: float) -> str:
        """One that is another by now; "": none, as far as was looked."""
        if not self._found and now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._found = first_changed(self._of_bodies)
            self._look_at_ours(now, LOOK_AT_OURS_EVERY_S)
        return self._found

    def rest(self, now: float) -> None:
        """Nothing is to be done: ours are looked at, so that `changed` need not when something is."""
        self._look_at_ours(now, LOOK_EVERY_S)

    def _look_at_ours(self, now: float, every_s: float) -> None:
        if not self._found and now - self._looked_at_ours >= every_s:
            self._looked_at_ours = now
            self._found = first_changed(self._ours)


def first_changed(stamps: dict[str, int]) -> str:
    return next((file for file, stamp in stamps.items() if stamp_of(file) != stamp), "")


def stamp_of(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  some between two jobs: no Path for each
    except OSError:
        return 0


def stamp_as_loaded(file: str, loaded_at: float, now: float) -> int:
    """Where the file was written since, perhaps the child has another one: then a stamp that no file has."""
    stamp = stamp_of(file)
    return NEVER if loaded_at - CLOCK_TICK_S <= stamp / 1e9 <= now else stamp
