"""The conductor: one tick is observe, decide, apply; `run` is the cadence, the lead, and what to do without Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from loguru import logger

from conductor import hours
from conductor.apply import apply
from conductor.core.depth import depths
from conductor.core.holds import carried, is_other_reason, lost_by_backlog, rates_left, unreached
from conductor.core.keeping import Keeping
from conductor.core.look import next_look
from conductor.core.measured import measured
from conductor.core.retry import after_failure
from conductor.errors import Fenced, Unreachable
from conductor.leading import Lead
from conductor.limits import live
from conductor.model.causes import Cause
from conductor.model.decision import Decision, GateLedger
from conductor.model.entries import JobState, JobView
from conductor.model.limits import Limits
from conductor.model.outcome import Retry
from conductor.model.snapshot import Candidate, KindState, Look, Reservation, Snapshot
from conductor.model.spec import from_line
from conductor.observe import observe
from conductor.ports import Ledger, Rates
from conductor.recovery.reconcile import Reconciler
from conductor.recovery.retelling import Retelling
from conductor.recovery.settling import Settler
from conductor.settings import Timing
from conductor.standstill import Left, Standstill
from conductor.tick_log import TickLog
from conductor.uncollected import uncollected

#: The gate ledger's numbers are brought up to date so often even where no reason changed.
RECORD_EVERY_S = 2.0
BACK_OFF_S = 0.25
LONGEST_BACK_OFF_S = 5.0
#: A stop is noticed within so long.
NAP_S = 0.25

#: Between two ticks while short jobs are fed.
REST_S = 0.01

OnTick = Callable[[Snapshot, Decision], None]
#: What `decide` was given, and its answer with the times of its holds: one that keeps it
#: (`conductor.history.recording`).
Record = Callable[[Snapshot, Sequence[Candidate], Limits, Decision], None]
#: Puts learned needs in place of declared ones (`conductor.learning`).
Teach = Callable[[Snapshot, Sequence[Candidate]], tuple[Candidate, ...]]
#: Told when what waits of a kind went into review, and what is known of kinds.
OnReview = Callable[[str, Sequence[KindState]], None]
#: A job's own retry budgets (its line's over its task's).
Overrides = Callable[[JobView], Mapping[Cause, int]]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How `run` ended. `is_done`: no job of the chosen backlogs is left to run; `left`: what can never run here, or not
    as long as workers die at each start."""

    is_done: bool
    counts: dict[JobState, int]
    left: Left | None = None


def budgets_of_line(job: JobView) -> Mapping[Cause, int]:
    return from_line(job.line).retry or {}


class Conductor:
    """Stateless but for the words it has said: kill it at any instruction, start it again, nothing is lost."""

    def __init__(
        self,
        ledger: Ledger,
        rates: Rates,
        limits: Limits,
        timing: Timing,
        owner: str,
        backlogs: Sequence[str] = (),
        *,
        on_tick: OnTick | None = None,
        record: Record | None = None,
        teach: Teach = lambda snapshot, candidates: tuple(candidates),
        overrides: Overrides = budgets_of_line,
        canaries: Callable[[], dict[str, int]] | None = None,
        guard: Callable[[], str | None] = lambda: None,
        on_review: OnReview = lambda kind, states: None,
        reconciler: Reconciler | None = None,
        retelling: Retelling | None = None,
        own_node: str = "",
    ) -> None:
        """`owner`: unique to this process. `backlogs`: those to feed from; empty: all. `own_node`: of this run.

        `guard`: why nothing may be admitted now; while it says so, nothing counts as done either. `reconciler`: hands
        in what receipts prove, when the lead is taken, when Redis is back, and before anything is rescued.
        `retelling`: says again what a Redis that stepped back was told last."""
        self._ledger = ledger
        self._rates = rates
        self._limits = limits
        self._timing = timing
        self._on_tick = on_tick
        self._keep = record
        self._teach = teach
        self._overrides = overrides
        self._canaries = canaries
        self._guard = guard
        self._on_review = on_review
        self._reconciler = reconciler
        self._settler = Settler(ledger, reconciler, timing.lease_s, retelling)
        self._unsettled = ""
        self._deciding = Keeping()
        self._held_back = ""
        #: In which all begun chains are known to finish, as of the last tick.
        self._order: tuple[str, ...] = ()
        self._lead = Lead(ledger.leadership, owner, timing.leader_ttl_s)
        self._log = TickLog()
        self._epoch: int | None = None
        self._look = Look(backlogs=tuple(backlogs))
        self._rest_s = 0.0
        self._is_standby_said = False
        #: As of the last tick, and what of it was recorded.
        self._gates = self._recorded = GateLedger()
        #: Passed over, then admitted, and turned down by the hand-over: since when they were passed over.
        self._turned_down: dict[str, float] = {}
        self._standstill = Standstill(ledger, backlogs, own_node)

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
        hold = self._settled(epoch)
        # Before it is settled nobody is lost: who holds what is just what is not known.
        if not hold and self._rescue_orphans():
            self._ask_ahead()  # What has gone back is among the candidates.
        hold = hold or self._look_out()
        # Before all else: what is handed on from now on, the decision does not know of.
        handed_on = self._ledger.handover.handed_on() if self._limits.has_successors else None
        snapshot, candidates = observe(self._ledger, self._rates, self._look)
        snapshot = self._deepened(snapshot, candidates)
        snapshot = self._remembered(snapshot)
        if snapshot.chains:
            snapshot = msgspec.structs.replace(snapshot, order=self._order)
        if hold:
            controls = msgspec.structs.replace(snapshot.controls, hold=hold)
            snapshot = msgspec.structs.replace(snapshot, controls=controls)
        candidates = self._teach(snapshot, candidates)
        if self._canaries is not None and (canary := self._canaries()) is not self._limits.canary:
            self._limits = msgspec.structs.replace(self._limits, canary=canary)
        limits = live(self._limits, len(snapshot.nodes))
        candidates = measured(snapshot, candidates, limits)
        with uncollected():
            deciding = self._deciding.begin(snapshot, candidates, limits)
            first = deciding.first()
        applied = apply(self._ledger, self._rates, epoch, first, handed_on)
        # Workers begin meanwhile: those that stay need not be told in a hurry.
        with uncollected():
            decision = self._deciding.end(deciding, first)
        self._order = decision.order
        own = len(decision.hold)
        held = (*decision.hold, *unreached(decision, self._gates, candidates))
        decision = msgspec.structs.replace(decision, hold=carried(held, self._gates, decision.now))
        if self._keep is not None:
            # Of what it did not get to, `decide` says nothing.
            self._keep(snapshot, candidates, limits, msgspec.structs.replace(decision, hold=decision.hold[:own]))
        before, again = snapshot.overtaken, (admission.reservation.job_id for admission, _ in applied.refused)
        self._turned_down = {job_id: before[job_id] for job_id in again if job_id in before}
        self._look = next_look(self._look, candidates, decision, has_chains=bool(snapshot.chains))
        self._rest_s = REST_S if snapshot.deep and applied.fed else 0.0
        self._log.applied(applied)
        for kind, count in applied.reviewed.items():
            if count:
                self._on_review(kind, snapshot.kinds)
        self._log.held(decision.hold, decision.now)
        self._record(epoch, snapshot, decision)
        self._standstill.note(snapshot, decision)
        if self._on_tick is not None:
            self._on_tick(snapshot, decision)
        # What was turned down by the hand-over would be tried again at once, for ever: the world needs a moment.
        return decision.next_tick_s if applied.fed or not applied.refused else self._limits.tick_s

    def _deepened(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> Snapshot:
        """With queues as deep as jobs are short that wait and run now."""
        paces = self._ledger.handover.paces()
        deep = depths(snapshot.nodes, snapshot.reservations, candidates, paces, self._limits)
        return msgspec.structs.replace(snapshot, deep=deep) if deep else snapshot

    def _remembered(self, snapshot: Snapshot) -> Snapshot:
        """With what was true at the tick before, and the time of the day."""
        overtaken = self._gates.overtaken | self._turned_down
        shut = hours.shut(self._limits.hours, snapshot.now)
        return msgspec.structs.replace(snapshot, overtaken=overtaken, shut=shut)

    def _lead_changed(self, epoch: int | None) -> None:
        self._epoch = epoch
        self._standstill.forget()
        if epoch is not None:
            self._gates = self._recorded = self._ledger.handover.gates()
            self._is_standby_said = False
            logger.bind(event="leading", epoch=epoch).info("Leading (epoch {})", epoch)
            if self._reconciler is not None:
                self._reconciler.catch_up()
        elif not self._is_standby_said:
            self._is_standby_said = True
            leader = self._ledger.leadership.leader()
            logger.bind(event="standby").info("Standing by: {} leads", leader[0] if leader else "nobody yet")

    def _settled(self, epoch: int) -> str:
        """Why nothing may be handed out: Redis may have forgotten what it was told last."""
        if self._ledger.leadership.is_settled:
            self._unsettled = ""
            return ""
        reason = self._settler.reason(epoch)
        if not reason:
            self._ask_ahead()  # What was read before is not so any more.
        elif not self._unsettled:
            logger.bind(event="held_back").warning("Starting nothing: {}", reason)
        self._unsettled = reason
        return reason

    def _look_out(self) -> str:
        """Why nothing may be admitted: Redis was emptied, or is being rebuilt. Said once, and again when it is over."""
        hold = self._guard() or ""
        if bool(hold) != bool(self._held_back):
            log = logger.bind(event="held_back" if hold else "goes_on")
            log.warning("Starting nothing: {}", hold) if hold else log.info("The ledger is whole again: going on")
        self._held_back = hold
        return hold

    def _ask_ahead(self, lead: tuple[str, float] | None = None) -> None:
        self._ledger.handover.ask_ahead(self._look, self._timing.admitted_grace_s, lead)

    def _rescue_orphans(self) -> bool:
        """Were there any."""
        orphans = self._ledger.handover.orphans(self._timing.admitted_grace_s)
        # Killed between its receipt and `accept`: run again it would be done twice over.
        proved = self._reconciler.settled(orphans) if orphans and self._reconciler is not None else frozenset[str]()
        for orphan in orphans:
            if orphan.job_id not in proved:
                self._rescue(orphan)
        return bool(orphans)

    def _rescue(self, orphan: Reservation) -> None:
        job = self._ledger.backlog.job(orphan.job_id)
        if job is None:
            return
        then = after_failure("worker_lost", job.failures, self._overrides(job))
        worker = orphan.worker or f"a worker of {orphan.queue}"
        # A leader paused since it looked must not take an attempt from a worker that lives again.
        if self._ledger.attempts.rescue(orphan.job_id, orphan.attempt, f"{worker} was lost", then, if_lapsed=True):
            where = "back to the backlog" if isinstance(then, Retry) else "to the dead letter"
            log = logger.bind(event="rescued", lane=orphan.lane, job_id=orphan.job_id, attempt=orphan.attempt)
            log.warning("Rescued {} {}: {} was lost; {}", orphan.lane, orphan.job_id, worker, where)

    def _record(self, epoch: int, snapshot: Snapshot, decision: Decision) -> None:
        now = decision.now
        lost_s = lost_by_backlog(self._gates, now)
        self._gates = GateLedger(at=now, holds=decision.hold, lost_s=lost_s, wanted=decision.wanted)
        # A node removes files for room that will be wanted: it hears of it while others still run.
        is_news = is_other_reason(decision.hold, self._recorded.holds) or decision.wanted != self._recorded.wanted
        if now - self._recorded.at < RECORD_EVERY_S and not is_news:
            return
        self._gates = self._recorded = msgspec.structs.replace(
            self._gates,
            shared=self._deciding.shared(),
            rates=rates_left(snapshot.rates, decision.admit),
            reports={node.node: node.sent_at for node in snapshot.nodes},
        )
        self._ledger.handover.record_gates(epoch, self._gates)

    # ── the cadence ───────────────────────────────────────────────────────────────────────────────────────

    def run(self, until_done: bool = False, should_stop: Callable[[], bool] = lambda: False) -> Ended:
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
                    nap(min(LONGEST_BACK_OFF_S, BACK_OFF_S * 2 ** min(losses, 8)), should_stop)
        return Ended(is_done=False, counts={})

    def _wait(self, wait_s: float | None, should_stop: Callable[[], bool]) -> None:
        if wait_s is None:
            # A standby must not wait on the bell: it would take the ring from the leader.
            nap(self._lead.ask_s, should_stop)
        else:
            # Every turn of a worker rings. Where jobs are short several turns are worth one tick: queues are deep.
            nap(self._rest_s, should_stop)
            self._ledger.handover.ask_when_rung(
                min(wait_s, self._timing.tick_s),
                self._look,
                self._timing.admitted_grace_s,
                self._lead.terms,
            )

    def _lost(self, losses: int, error: Unreachable) -> int:
        if losses == 0:
            logger.bind(event="redis_lost").warning("{} (trying again)", error)
        # It may come back without its last second: as if the lead had just been taken.
        self._epoch = None
        return losses + 1

    def _reached(self, losses: int) -> int:
        if losses:
            logger.bind(event="redis_back").info("Redis is back")
        return 0

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────

    def _ended(self) -> Ended | None:
        counts = self._counts()
        left = counts.get("waiting", 0) + counts.get("admitted", 0) + counts.get("running", 0)
        if left == 0:
            # An emptied ledger has nothing left to do, and nothing of it is done: asked after the counting.
            return None if self._look_out() else Ended(is_done=True, counts=counts)
        found = self._standstill.found(left)
        return None if found is None else Ended(is_done=False, counts=counts, left=found)

    def _counts(self) -> dict[JobState, int]:
        if not self._look.backlogs:
            return self._ledger.backlog.counts()
        total: dict[JobState, int] = {}
        for backlog in self._look.backlogs:
            for state, count in self._ledger.backlog.counts(backlog).items():
                total[state] = total.get(state, 0) + count
        return total


def nap(seconds: float, should_stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not should_stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, NAP_S))
