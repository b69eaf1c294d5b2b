"""Redis may have forgotten the last that it was told: what has to be known before anything is handed out
again.

A power cut with `everysec`, a replica that lags and takes over: workers live on by what the ledger does not
know. The steps that hand out see it themselves (`adapters/redis/lua/history.lua`) and refuse; here the leader
settles it. What was said to the ledger is said again, all workers say what they hold, the ends of the
receipts are taken in, and numbers that may be in use are left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from conductor.base.errors import ConductorError, Fenced, Unreachable
from conductor.base.logs.events import emit_event
from conductor.base.text import many
from conductor.model.ledger_entries import Settled, Unsettled
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Reservation
from conductor.ports import Ledger
from conductor.recovery.failover_words import failover_words
from conductor.recovery.reapply_journal import JournalReapply, Reapplied
from conductor.recovery.reconcile import CLOCKS_S, Reconciler


class Settler:
    """The leader's. `reason` once a tick; it may raise `Unreachable` and `Fenced`."""

    def __init__(
        self,
        ledger: Ledger,
        reconciler: Reconciler | None,
        wait_s: float,
        reapply: JournalReapply | None = None,
    ) -> None:
        """`wait_s`: silent workers are waited for so long. A lease: then what they held is theirs no more."""
        self._ledger = ledger
        self._reconciler = reconciler
        self._wait_s = wait_s
        self._journal = reapply
        #: The epoch in which all was said again, and how much of it was new to the ledger.
        self._reapplied_in = self._told_again = 0
        #: The epoch in which those were called that ran when this leader looked last.
        self._called_in = 0
        #: By which server the ledger is whole, and when it was found so for the last time (monotonic).
        self._server = ""
        self._whole_at: float | None = None

    def whole(self) -> None:
        """It is whole, as of now."""
        self._whole_at = time.monotonic()
        if not self._server:
            identity = self._ledger.identity
            served, self._server = identity.served_by(), identity.server()
            if served is None or served.server != self._server:
                identity.note_server(ServedBy(server=self._server, at=time.time()))

    def reason(self, epoch: int, running: Sequence[Reservation] = ()) -> str:
        """Why nothing may be handed out yet; empty: the ledger is settled. `running`: what ran when this
        leader looked last."""
        if self._called_in != epoch:
            self._ledger.workers.expect(running, self._wait_s)
            self._called_in = epoch
        unsettled = self._ledger.identity.pulse().unsettled
        if unsettled is None:
            return ""
        if fault := self._reapply(epoch, unsettled.heard_at):
            return fault
        if unsettled.silent and unsettled.for_s < self._wait_s:
            return why(unsettled)
        if fault := self._put_back(unsettled.heard_at):
            return fault
        # After the workers: what they had ended by then is on disk, what they had not, they have named.
        try:
            highest = self._reconciler.take_in(unsettled.heard_at) if self._reconciler is not None else 0
        except OSError as e:
            return (
                "Redis may have forgotten what it was told last, and the receipts that would tell cannot "
                f"be read: {e}"
            )
        settled = self._ledger.leadership.settle(epoch, self._wait_s, highest)
        if settled is None:
            return why(unsettled)
        self._note(settled, unsettled)
        return ""

    def _note(self, settled: Settled, unsettled: Unsettled) -> None:
        """For status and the log."""
        identity, before = self._ledger.identity, self._server
        if not before and (known := identity.served_by()):
            before = known.server
        self._server = identity.server()
        served = ServedBy(
            server=self._server,
            at=time.time(),
            before=before,
            took_s=None if self._whole_at is None else time.monotonic() - self._whole_at,
            went_back=settled.went_back,
            told_again=self._told_again,
            silent=unsettled.silent,
            floor=settled.floor,
        )
        self._told_again = 0
        identity.note_server(served)
        log_failover(served) if served.is_failover else log_settled(settled, unsettled)

    def _reapply(self, epoch: int, heard_at: float) -> str:
        """Why it could not be done. Before the workers are waited for: what they hold has to be there to
        be claimed.
        """
        if self._journal is None or self._reapplied_in == epoch:
            return ""
        if not (fault := self._tell(self._journal.reapply, heard_at)):
            self._reapplied_in = epoch
        return fault

    def _put_back(self, heard_at: float) -> str:
        """The same of jobs that were to be taken from their workers. Behind the workers: by then it is
        known again.
        """
        return "" if self._journal is None else self._tell(self._journal.put_back, heard_at)

    def _tell(self, tell: Callable[[float], Reapplied], heard_at: float) -> str:
        """Why it could not be done."""
        try:
            told = tell(heard_at - CLOCKS_S)
        except (Unreachable, Fenced):
            raise
        except (OSError, ConductorError) as e:
            return f"Redis may have forgotten what it was told last, and it cannot be told again: {e}"
        self._told_again += told.new + told.jobs + told.places + told.kinds
        return ""


def why(unsettled: Unsettled) -> str:
    whose = "has yet to say what it holds" if unsettled.silent == 1 else "have yet to say what they hold"
    return f"Redis was started again, or replaced, and {many(unsettled.silent, 'worker')} {whose}"


def log_failover(served: ServedBy) -> None:
    emit_event(
        "redis.failed_over",
        "{}",
        failover_words(served),
        server=served.server,
        before=served.before,
        seconds=served.took_s,
        attempts=served.went_back,
        told_again=served.told_again,
        floor=served.floor,
        silent=served.silent,
    )


def log_settled(settled: Settled, unsettled: Unsettled) -> None:
    if not settled.floor:
        if unsettled.heard_at:  # else it is new, and nobody expects anything of it
            emit_event("redis.restarted", "Redis was started again, and nothing is missing")
        return
    silent = f", {many(unsettled.silent, 'worker')} silent" if unsettled.silent else ""
    emit_event(
        "redis.stepped_back",
        "Redis had forgotten what it was told last{}: {} back to the backlog, new attempts are "
        "numbered from {}",
        silent,
        many(settled.went_back, "attempt"),
        settled.floor + 1,
        attempts=settled.went_back,
        floor=settled.floor,
        silent=unsettled.silent,
    )
