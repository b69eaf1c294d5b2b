"""A scheduler that is already there, and runs pilots or single attempts as its jobs.

What holds of every adapter, and is checked of each by `tests/contract/test_engines.py`:

- A question ends within seconds, or it is `Unreachable`: an adapter has a time limit of its own and no retry.
- `Unreachable` says nothing about any job. Neither does a key that an answer leaves out: lists come back
  empty, stale or cut. Only «ended» is an end, and it stays one.
- Nothing is known by the engine's numbers, which are used again; all is known by the key.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from conductor.model.engine import EngineCapacity, EngineChanges, EngineJob, Submission, SubmitAnswer


class Engine(Protocol):
    """Shared by no threads: one carries everything out, one question after the other."""

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        """Looks for the key first: a submission that is there already (also one that ended, where the engine
        still tells of it) is «placed», and nothing is made. Never raises for what the engine does: without a
        clear answer the outcome is «unknown», which is never «refused».
        """
        ...

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        """All of them in one question to the engine, however many. A key that it does not tell of is left
        out. Raises `Unreachable`.
        """
        ...

    def watch(self, cursor: str = "") -> EngineChanges:
        """Every submission of this project that changed since `cursor`, also those that nobody here knows any
        more; "": all that the engine still tells of. What it says twice is no error. Raises `Unreachable`.
        """
        ...

    def cancel(self, key: str) -> bool:
        """Asks that it end: what runs gets SIGTERM first, and its time to finish. False: the engine has
        nothing under that key that could still end. True is no end: that is told by `find`. Raises
        `Unreachable`.
        """
        ...

    def capacity(self) -> EngineCapacity:
        """Raises `Unreachable`."""
        ...

    def feasible(self, submission: Submission) -> str:
        """Why the engine could never run it, as a clause; "": it could, or the engine does not tell. Makes
        nothing. Raises `Unreachable`.
        """
        ...
