"""What becomes of jobs: the backlog that they wait in, and the life of one attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from conductor.model.calls import Call, EndpointFault
from conductor.model.causes import Cause
from conductor.model.chains import LetGo, Outlook
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import (
    AdoptAnswer,
    Entry,
    FinishAnswer,
    HeldReport,
    JobState,
    JobView,
    Preloaded,
    Pulse,
    PutResult,
    Renewed,
    Revised,
    RollCall,
    Started,
    Turned,
    WorkerTurn,
)
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Candidate, Head, Lookahead, Reservation


class Backlog(Protocol):
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

    def candidates(self, look: Lookahead) -> tuple[Candidate, ...]:
        """Every class with jobs that may go now, with as many as said of its first, oldest first.

        Jobs that wait for others or for a back-off are in no class; due back-offs are moved in by this call,
        a thousand at a time; the bell rings for the rest.
        """
        ...

    def outlook(self, heads: Sequence[str]) -> Outlook:
        """Chains that were begun and those of these jobs, what landed on disks lately, the longest wait so
        far.
        """
        ...

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Path → jobs about to be put that will read it: from now on it is needed. What is being removed at
        this moment, and by which node: that cannot be had back, its writer has to run again."""
        ...

    def heads(self, ids: Sequence[str]) -> tuple[tuple[str, Head], ...]:
        """(class id, head) of those of these jobs that may go now."""
        ...

    def counts(self, backlog: str | None = None) -> dict[JobState, int]: ...

    def backlogs(self) -> tuple[str, ...]: ...

    def generation(self, proposed: str | None = None) -> str | None:
        """The ledger's own mark; None while it has none. The first to propose one gives it; it goes with a
        FLUSHALL.
        """
        ...

    def settle(self, for_s: float) -> None:
        """The ledger is being rebuilt: for so long nothing should be admitted, workers claim what they
        still run.
        """
        ...

    def pulse(self) -> Pulse:
        """The mark, how long it is still being rebuilt, and whether it may have forgotten something, in
        one look.
        """
        ...

    def history(self) -> str:
        """Which history the server serves: another one after any start, promotion or full resync. What was
        said to two of them may be forgotten in part."""
        ...

    def complete(self, history: str, content: str, number: int) -> bool:
        """All of a dispatch that began in `history` is in: its content, and the number of its note. False
        where the server serves another history by now, and may have forgotten a part of it."""
        ...

    def completed(self) -> Mapping[str, int]:
        """Content → the highest number of a dispatch of it that is known to be in whole."""
        ...

    def job(self, job_id: str) -> JobView | None: ...

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

    def has_delayed(self, backlogs: Sequence[str] = ()) -> bool:
        """Does a job of these (none named: of any) wait out a back-off."""
        ...

    def died(self, backlog: str | None = None) -> Iterator[str]:
        """Of the dead those that died of themselves, and not for the sake of another."""
        ...

    def causes(self, backlog: str | None = None) -> dict[str, int]:
        """Cause → dead jobs, exactly, however many: the most frequent first, and last, as `dependency_dead`,
        those that died for the sake of these."""
        ...


class Attempts(Protocol):
    """The life of one attempt. Called by workers; fenced by the attempt's number."""

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        """admitted(attempt) → running, with a lease. Raises `Fenced` when it is not this attempt's turn."""
        ...

    def turn(self, turn: WorkerTurn) -> Turned:
        """`accept` of all that is done, the unbegun back to waiting at no cost, `start` of all that is in
        hand and of as much more of the queue as is wanted: one step. A worker takes no more than its share of
        its queue."""
        ...

    def lined(self, worker: str, timeout_s: float) -> Preloaded | RollCall | None:
        """The next word on who is lined up behind what this worker runs, or a roll call; None where none came
        in time (a few seconds at most). What is missed costs nothing: such a successor goes on as if it had
        been named only."""
        ...

    def renew(self, worker: str, lease_s: float, held: Sequence[HeldReport], seen: int = 0) -> Renewed:
        """All that a worker holds, also where that is nothing. An answer each: «gone»: this attempt was
        rescued, stop. «cancel»: the operator wants it stopped, kill the body; it is not renewed for ever
        after that. «unknown»: the ledger forgot it (Redis was emptied, or stepped back): go on, and `adopt`
        it.

        What the ledger has as running by it and is not named is an orphan at once, unless it was started
        after `seen`: the step of the last turn whose answer it has heard."""
        ...

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        """An attempt that the ledger forgot still runs: waiting, admitted, or running as an older attempt →
        running, under its number and reservation.

        «unknown»: the ledger does not know the job (yet). «gone»: it knows better, stop."""
        ...

    def accept(self, receipt: Receipt) -> FinishAnswer:
        """An `ok` receipt, already durable, becomes the job's accepted one: → done, whatever attempt it is
        of, unless another was accepted first («already») or the ledger does not know the job («gone»).
        Releases the reservation, frees the jobs that waited for it."""
        ...

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        """running(attempt) → waiting or dead (which takes the jobs in whose `after` it stands along)."""
        ...

    def closings(self) -> dict[str, float]:
        """Rate key → closed until; what ran out is left out."""
        ...

    def endpoint_faults(self) -> dict[str, EndpointFault]:
        """Rate key → what is known against its endpoint; those that are well are left out."""
        ...

    def open_rate(self, key: str) -> bool:
        """The operator's word: its gate opens at once. False: it was open, and nothing known against it."""
        ...

    def tell_calls(self, calls: Sequence[Call]) -> None:
        """What came of the API calls of one attempt, all at once: a 429, or another trouble of its endpoint,
        closes its key, and what is handed over for one that is not well goes back; the rest is for the
        leader."""
        ...

    def calls(self) -> tuple[Call, ...]:
        """What was told and not yet forgotten, the oldest first."""
        ...

    def forget_calls(self, count: int) -> None:
        """The oldest so many have been taken into account."""
        ...

    def refusals(self) -> dict[str, int]:
        """Rate key → 429s, of all time."""
        ...

    def rescue(
        self,
        job_id: str,
        attempt: int,
        message: str,
        then: Retry | Dead,
        cause: Cause = "worker_lost",
        *,
        if_lapsed: bool = False,
    ) -> bool:
        """An orphan (worker dead, lease run out) goes back. False when it was not in that attempt any more.

        `if_lapsed`: also False when its lease runs again; for one who only looked, and may have slept since.
        """
        ...

    def give_back(self, job_id: str, attempt: int) -> bool:
        """admitted(attempt) → waiting, at no cost: nobody started it. False when it is not so any more."""
        ...

    def removable(self, node: str, roots: Sequence[str]) -> dict[str, int]:
        """Root → bytes of the files there that nobody needs any more. They lie there until their room is
        wanted.
        """
        ...

    def let_go(self, node: str, root: str = "", wanted: int = 0, most: int = 500) -> tuple[LetGo, ...]:
        """Of the files that nobody needs, the first ones on that root are gone from now on, until they are so
        many bytes: the node removes them and says so (`gone`). With those that it was told before and has not
        said gone."""
        ...

    def gone(self, node: str, paths: Sequence[str]) -> None:
        """They are removed, or will not be."""
        ...

    def strike_off(self, worker: str, queue: str) -> bool:
        """This worker is dead and all that it held went back: nobody waits for its word. False while the
        ledger is not settled: it may have seen what was forgotten."""
        ...

    def held_by(self, worker: str) -> tuple[Reservation, ...]:
        """The attempts a worker has taken from its queue, started or not: what its death orphans."""
        ...
