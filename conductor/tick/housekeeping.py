"""Before a tick decides: does the ledger know all that it was told, and what does nobody run any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from conductor.base.logs.events import emit_event
from conductor.core.failures.retry import after_failure
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import JobView
from conductor.model.snapshot import Reservation
from conductor.model.spec import from_line
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger
from conductor.recovery.lost_writes import Settler
from conductor.recovery.reconcile import Reconciler

#: Each start of the project's own Valkey unsettles the ledger for a moment: nobody need hear of that.
SAID_AFTER_S = 2.0
#: A job's own retry budgets (its line's over its task's).
Overrides = Callable[[JobView], Mapping[Cause, int]]
#: Why nothing may be admitted now; None: it may.
WhyNot = Callable[[], str | None]


def budgets_of_line(job: JobView) -> Mapping[Cause, int]:
    return from_line(job.line).retry or {}


class Housekeeping:
    """The leader's, once a tick. It says each thing once, and again when it is over."""

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        reconciler: Reconciler | None,
        grace_s: float,
        *,
        overrides: Overrides = budgets_of_line,
        guard: WhyNot = lambda: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`grace_s`: what was handed over so long ago, is in no queue and was not started is an orphan.

        `reconciler`: knows what receipts prove; nothing of that is rescued. `changed`: called where what was
        read of the ledger ahead is not so any more."""
        self._ledger = ledger
        self._settler = settler
        self._reconciler = reconciler
        self._grace_s = grace_s
        self._overrides = overrides
        self._guard = guard
        self._changed = changed
        #: Since when the ledger is not settled (monotonic), and whether it was said.
        self._unsettled: float | None = None
        self._is_said = False
        self._held_back = ""

    def settle(self, epoch: int, seen: Sequence[Reservation] = ()) -> str:
        """Why nothing may be admitted; empty: it may. `seen`: what was handed over when this leader looked
        last. Raises `Unreachable` and `Fenced`."""
        hold = self._settled(epoch, seen)
        # Before it is settled nobody is lost: who holds what is just what is not known.
        if not hold and self._rescue_orphans():
            self._changed()  # What has gone back is among the candidates.
        return hold or self.look_out()

    def look_out(self) -> str:
        """Redis was emptied, or is being rebuilt."""
        hold = self._guard() or ""
        if bool(hold) != bool(self._held_back):
            if hold:
                emit_event("conductor.held_back", "Starting nothing: {why}", why=hold)
            else:
                emit_event("conductor.goes_on", "The ledger is whole again: going on")
        self._held_back = hold
        return hold

    def _settled(self, epoch: int, seen: Sequence[Reservation]) -> str:
        """Redis may have forgotten what it was told last."""
        if self._ledger.leadership.is_settled:
            self._settler.whole()
            self._unsettled, self._is_said = None, False
            return ""
        reason = self._settler.reason(epoch, [held for held in seen if held.worker is not None])
        if not reason:
            self._changed()
            return ""
        now = time.monotonic()
        self._unsettled = now if self._unsettled is None else self._unsettled
        if not self._is_said and now - self._unsettled >= SAID_AFTER_S:
            self._is_said = True
            emit_event("conductor.held_back", "Starting nothing: {why}", why=reason)
        return reason

    def _rescue_orphans(self) -> bool:
        """Were there any."""
        orphans = self._ledger.orphans.orphans(self._grace_s)
        # Killed between its receipt and `accept`: run again it would be done twice over.
        proved = (
            self._reconciler.settled(orphans)
            if orphans and self._reconciler is not None
            else frozenset[str]()
        )
        for orphan in orphans:
            if orphan.job_id not in proved:
                self._rescue(orphan)
        return bool(orphans)

    def _rescue(self, orphan: Reservation) -> None:
        job = self._ledger.jobs.job(orphan.job_id)
        if job is None:
            return
        then = after_failure("worker_lost", job.failures, self._overrides(job))
        worker = orphan.worker or f"a worker of {orphan.queue}"
        # A leader paused since it looked must not take an attempt from a worker that lives again.
        if self._ledger.orphans.rescue(
            orphan.job_id, orphan.attempt, f"{worker} was lost", then, if_lapsed=True
        ):
            where = "back to the backlog" if isinstance(then, Retry) else "to the dead letter"
            emit_event("job.rescued", "Rescued {about} ({}): {error}; {then}", orphan.job_id[:SHORT_ID],
                       job_id=orphan.job_id,
                       attempt=orphan.attempt, task=orphan.task, lane=orphan.lane,
                       about=subject_of_line(job.line, orphan.task), error=f"{worker} was lost",
                       then=where)  # fmt: skip
