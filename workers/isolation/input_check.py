"""What a body reads, held against its line before it begins, and against itself when it has ended: an output
made of a file that changed meanwhile is not what was planned, whatever the file's dates say afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import BadInput, JobError, UsageError
from conductor.base.files.fingerprint import FileState, InputsBy, by_of, fingerprint, state_of
from conductor.base.files.paths import resolve
from conductor.model.spec import JobSpec

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: Two changes within one tick of the file system's clock look like one: a file that changed so lately is
#: waited for.
TICK_S = 0.02


class Inputs:
    """Of one attempt. `check` before the body, `check_again` behind it."""

    def __init__(self, spec: JobSpec, layout: Layout) -> None:
        self._spec = spec
        self._layout = layout
        self._planned: dict[str, tuple[Path, FileState]] = {}
        self._read: dict[str, tuple[Path, FileState]] = {}

    def check(self) -> None:
        """The user's own files must be what the plan saw: the job's id, and so its outputs' names, stand for
        them.

        Raises `BadInput`."""
        for path, mark in self._spec.inputs.items():
            by = by_of(mark)
            if by is None:
                continue
            file = resolve(self._layout, path, for_writing=False)
            if not file.exists():
                raise BadInput(f"input {path!r} is not there")
            state = _settled(file)
            if self._mark(file, by) != mark:
                raise BadInput(f"input {path!r} changed since it was planned: plan again")
            self._planned[path] = file, state
        for path in self._spec.reads:
            if path not in self._planned:
                self._note(path)

    def _note(self, path: str) -> None:
        """What is not there, or no file, is the body's to find out."""
        try:
            file = resolve(self._layout, path, for_writing=False)
            self._read[path] = file, state_of(file)
        except (BadInput, UsageError):
            return

    def check_again(self) -> None:
        """Raises `BadInput` where an input is not any more what was planned, `JobError` where a file was
        written to and may have been another one while it was read."""
        for path, (file, before) in self._planned.items():
            if _now(file) == before:
                continue
            mark = self._spec.inputs[path]
            if self._mark(file, by_of(mark) or "time") != mark:
                raise BadInput(f"input {path!r} changed while the job read it: plan again")
            raise JobError(
                f"input {path!r} was written to while the job read it; it is again as it was planned"
            )
        for path, (file, before) in self._read.items():
            # What another job made has links made and taken away after it is published: that changes its
            # ctime.
            if (now := _now(file)) is not None and now[:4] != before[:4]:
                raise JobError(f"{path!r} changed while the job read it")

    def _mark(self, file: Path, by: InputsBy) -> str:
        try:
            return fingerprint(file, by, HashCache(self._layout.state_dir).sha256)
        except UsageError as e:
            raise BadInput(str(e)) from None


def _now(file: Path) -> FileState | None:
    try:
        return state_of(file)
    except UsageError:
        return None


def _settled(file: Path) -> FileState:
    """Its state, from which the next change will differ. Raises `BadInput`."""
    try:
        state = state_of(file)
        if abs(time.time() - state.ctime_ns / 1e9) < TICK_S:
            time.sleep(TICK_S)
            state = state_of(file)
        return state
    except UsageError as e:
        raise BadInput(str(e)) from None
