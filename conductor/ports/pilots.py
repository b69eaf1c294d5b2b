"""Which pilots were asked for, and which of them may come up; which jobs were given to engines one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates


class PilotBook(Protocol):
    """Written before an engine is asked, so that a conductor that is started again finds what was asked."""

    def states(self) -> PilotStates: ...

    def write(
        self, epoch: int, engine: EngineState, pilots: Sequence[Pilot] = (), forgotten: Sequence[str] = ()
    ) -> None:
        """In one step, `forgotten` keys out. Raises `Fenced`."""
        ...

    def write_jobs(
        self,
        epoch: int,
        engine: EngineState,
        jobs: Sequence[JobSubmission] = (),
        forgotten: Sequence[str] = (),
    ) -> None:
        """The same of single jobs."""
        ...

    def claim(self, key: str, owner: str) -> str:
        """The node of a pilot comes up. "": it may. Else why not: «claimed», another one came under this key
        before (an engine started it twice); or the state in which it was given up.
        """
        ...
