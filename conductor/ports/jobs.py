"""Jobs on their way in, as they wait, and as whoever looks finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from conductor.model.chains import ChainStates
from conductor.model.ledger_entries import Entry, JobState, JobView, PutResult, Revised
from conductor.model.snapshot import Candidate, Head, Lookahead


class JobIntake(Protocol):
    """Dispatch and rebuild."""

    def put(self, backlog: str, entries: Sequence[Entry]) -> PutResult:
        """Accept jobs, all of this call or none; an id already known is left as it is."""
        ...

    def revise(
        self, backlog: str, entries: Sequence[Entry], *, is_moving: bool = False, is_trial: bool = False
    ) -> Revised:
        """Known jobs that have not begun take the line they come with, each in one step, and what follows
        from it. The dead and those in review wait again where their line is another; what a receipt proves
        done is left alone.

        `is_moving`: jobs of another backlog come into this one, too. `is_trial`: only say what would be."""
        ...

    def complete(self, history: str, content: str, number: int) -> bool:
        """All of a dispatch that began in `history` is in: its content, and the number of its note. False
        where the server serves another history by now, and may have forgotten a part of it."""
        ...

    def completed(self) -> Mapping[str, int]:
        """Content → the highest number of a dispatch of it that is known to be in whole; of the thousand that
        came last."""
        ...


class WaitingJobs(Protocol):
    """What the leader's tick reads of the backlog."""

    def candidates(self, look: Lookahead) -> tuple[Candidate, ...]:
        """Every class with jobs that may go now, with as many as said of its first, oldest first.

        Jobs that wait for others or for a back-off are in no class; due back-offs are moved in by this call,
        a thousand at a time; the bell rings for the rest.
        """
        ...

    def heads(self, ids: Sequence[str]) -> tuple[tuple[str, Head], ...]:
        """(class id, head) of those of these jobs that may go now."""
        ...

    def chain_states(self, heads: Sequence[str]) -> ChainStates:
        """Chains that were begun and those of these jobs, what was written on disks lately, the longest wait
        so far.
        """
        ...

    def has_delayed(self, backlogs: Sequence[str] = ()) -> bool:
        """Does a job of these (none named: of any) wait out a back-off."""
        ...


class Jobs(Protocol):
    """One by one, and by state."""

    def job(self, job_id: str) -> JobView | None: ...

    def waiters(self, job_id: str, limit: int) -> tuple[int, tuple[str, ...]]:
        """How many wait for this job to be done, or to end, and up to `limit` of them. Of one that is done
        nobody waits any more; those of a dead one are kept."""
        ...

    def find(self, prefix: str, limit: int = 10) -> tuple[str, ...]:
        """Ids that begin with `prefix`."""
        ...

    def ids(self, state: JobState, backlog: str | None = None) -> Iterator[str]:
        """Of the dead, the cancelled and those in review at the cost of their number; of others, of all
        jobs'.
        """
        ...

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        """Where those of them are that were accepted before."""
        ...

    def lines(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Their manifest lines, in one look; an id that is not known is left out."""
        ...

    def died(self, backlog: str | None = None) -> Iterator[str]:
        """Of the dead those that died of themselves, and not for the sake of another."""
        ...


class Tallies(Protocol):
    """How many of what."""

    def backlogs(self) -> tuple[str, ...]: ...

    def counts(self, backlog: str | None = None) -> dict[JobState, int]: ...

    def causes(self, backlog: str | None = None) -> dict[str, int]:
        """Cause → dead jobs, exactly, however many: the most frequent first, and last, as `dependency_dead`,
        those that died for the sake of these."""
        ...
