"""The conductor: `run` is the cadence, the lead, and what to do without Redis; a tick is
`conductor.tick.steps`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from conductor.base.errors import Fenced, Unreachable
from conductor.base.gc_pause import uncollected
from conductor.base.logs.events import emit_event
from conductor.base.settings.sections import Timing
from conductor.core.admission.incremental import Keeping
from conductor.model.ledger_entries import JobState
from conductor.model.limits import Limits
from conductor.model.snapshot import Lookahead
from conductor.ports import Ledger, Rates
from conductor.recovery.lost_writes import Settler
from conductor.recovery.reapply_journal import JournalReapply
from conductor.recovery.reconcile import Reconciler
from conductor.tick.housekeeping import Housekeeping, Overrides, WhyNot, budgets_of_line
from conductor.tick.leadership import Lead
from conductor.tick.log import TickLog
from conductor.tick.standstill import Left, Standstill
from conductor.tick.steps import (
    Listeners,
    LiveRules,
    OnReview,
    OnTick,
    Record,
    Teach,
    TickMemory,
    TickState,
    Told,
    steps,
)

#: Redis is away: asked again so often, however long that takes. It is one question, and all others wait.
AGAIN_S = 0.25
#: A stop is noticed within so long.
NAP_S = 0.25


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How `run` ended. `is_done`: no job of the chosen backlogs is left to run; `left`: what can never run
    here, or not as long as workers die at each start."""

    is_done: bool
    counts: dict[JobState, int]
    left: Left | None = None


class Conductor:
    """Stateless but for the words it has said: kill it at any instruction, start it again, nothing is
    lost.
    """

    def __init__(
        self,
        ledger: Ledger,
        rates: Rates,
        limits: Limits,
        timing: Timing,
        owner: str,
        backlogs: Sequence[str] = (),
        *,
        on_tick: OnTick = lambda snapshot, decision: None,
        record: Record | None = None,
        teach: Teach = lambda snapshot, candidates: tuple(candidates),
        overrides: Overrides = budgets_of_line,
        rules: LiveRules | None = None,
        told: Told = dict,
        guard: WhyNot = lambda: None,
        on_review: OnReview = lambda kind, states: None,
        reconciler: Reconciler | None = None,
        reapply: JournalReapply | None = None,
        own_node: str = "",
    ) -> None:
        """`owner`: unique to this process. `backlogs`: those to feed from; empty: all. `own_node`: of this
        run.

        `guard`: why nothing may be admitted now; while it says so, nothing counts as done either.
        `reconciler`: hands in what receipts prove, when the lead is taken, when Redis is back, and before
        anything is rescued. `told`: what others hold of counters. `reapply`: says again what a Redis that
        stepped back was told last."""
        self._ledger = ledger
        self._timing = timing
        self._reconciler = reconciler
        self._lead = Lead(ledger.leadership, owner, timing.leader_ttl_s)
        self._epoch: int | None = None
        self._is_standby_said = False
        self._standstill = Standstill(ledger, backlogs, own_node)
        self._housekeeping = Housekeeping(
            ledger,
            Settler(ledger, reconciler, timing.lease_s, reapply),
            reconciler,
            timing.admitted_grace_s,
            overrides=overrides,
            guard=guard,
            changed=self._ask_ahead,
        )
        listeners = Listeners(
            log=TickLog(ledger.jobs.lines),
            standstill=self._standstill,
            record=record,
            on_review=on_review,
            on_tick=on_tick,
        )
        self._memory = TickMemory(limits=limits, look=Lookahead(backlogs=tuple(backlogs)))
        self.steps = steps(
            ledger, rates, self._housekeeping, Keeping(), listeners, teach=teach, rules=rules, told=told
        )

    @property
    def epoch(self) -> int | None:
        """The lead's number as of the last tick, for other threads; None while this one stands by, or while
        the ledger may have forgotten something."""
        return self._epoch if self._ledger.leadership.is_settled else None

    # ── one tick ──────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> float | None:
        """Decide once and hand over. Seconds until the next look; None while another conductor leads.

        Raises `Unreachable`. A write refused by its fence ends the tick: then this one stands by.
        """
        if self._epoch is not None:
            # A standby need not look at what it will not decide.
            self._ask_ahead(self._lead.terms)
        epoch = self._lead.renew()
        if epoch != self._epoch:
            self._lead_changed(epoch)
            if epoch is not None:
                self._ask_ahead()
        if epoch is None:
            return None
        try:
            return self._led(epoch)
        except Fenced:
            self._lead_changed(None)
            return None

    def _led(self, epoch: int) -> float:
        state = TickState(epoch=epoch, memory=self._memory)
        with uncollected():
            for step in self.steps:
                state = step(state)
        self._memory = state.memory
        return state.wait_s

    def _lead_changed(self, epoch: int | None) -> None:
        self._epoch = epoch
        self._standstill.forget()
        if epoch is not None:
            gates = self._ledger.gate_record.gates()
            self._memory = replace(self._memory, gates=gates, recorded=gates)
            self._is_standby_said = False
            emit_event(
                "leader.elected", "Leading: this conductor decides what starts (epoch {epoch})", epoch=epoch
            )
            if self._reconciler is not None:
                self._reconciler.catch_up()
        elif not self._is_standby_said:
            self._is_standby_said = True
            leader = self._ledger.leadership.leader()
            emit_event("leader.standby", "Standing by: {leader} leads",
                       leader=leader[0] if leader else "nobody yet")  # fmt: skip

    def _ask_ahead(self, lead: tuple[str, float] | None = None) -> None:
        self._ledger.prefetch.ask_ahead(self._memory.look, self._timing.admitted_grace_s, lead)

    # ── the cadence ───────────────────────────────────────────────────────────────────────────────────────

    def run(self, until_done: bool = False, should_stop: Callable[[], bool] = lambda: False) -> RunEnd:
        """Tick until told to stop, or, with `until_done`, until nothing of the backlogs is left that can run.

        Without Redis it says so once and tries again; no error of Redis ends it."""
        losses = 0
        with self._lead.held():
            while not should_stop():
                try:
                    wait_s = self.tick()
                    if until_done and (ended := self._ended()) is not None:
                        return ended
                    losses = self._reached(losses)
                    self._wait(wait_s, should_stop)
                except Unreachable as e:
                    losses = self._lost(losses, e)
                    nap(AGAIN_S, should_stop)
        return RunEnd(is_done=False, counts={})

    def _wait(self, wait_s: float | None, should_stop: Callable[[], bool]) -> None:
        if wait_s is None:
            # A standby must not wait on the bell: it would take the ring from the leader.
            nap(self._lead.ask_s, should_stop)
        else:
            # Every turn of a worker rings. Where jobs are short several turns are worth one tick: queues are
            # deep.
            nap(self._memory.rest_s, should_stop)
            self._ledger.prefetch.ask_when_rung(
                min(wait_s, self._timing.tick_s),
                self._memory.look,
                self._timing.admitted_grace_s,
                self._lead.terms,
            )

    def _lost(self, losses: int, error: Unreachable) -> int:
        if losses == 0:
            emit_event("redis.lost", "{error} (trying again)", error=str(error))
        # It may come back without its last second: as if the lead had just been taken.
        self._epoch = None
        return losses + 1

    def _reached(self, losses: int) -> int:
        if losses:
            emit_event("redis.back", "Redis is back")
        return 0

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────

    def _ended(self) -> RunEnd | None:
        counts = self._counts()
        left = counts.get("waiting", 0) + counts.get("admitted", 0) + counts.get("running", 0)
        if left == 0:
            # An emptied ledger has nothing left to do, and nothing of it is done: asked after the counting.
            return None if self._housekeeping.look_out() else RunEnd(is_done=True, counts=counts)
        found = self._standstill.found(left)
        return None if found is None else RunEnd(is_done=False, counts=counts, left=found)

    def _counts(self) -> dict[JobState, int]:
        if not self._memory.look.backlogs:
            return self._ledger.tallies.counts()
        total: dict[JobState, int] = {}
        for backlog in self._memory.look.backlogs:
            for state, count in self._ledger.tallies.counts(backlog).items():
                total[state] = total.get(state, 0) + count
        return total


def nap(seconds: float, should_stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not should_stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, NAP_S))
