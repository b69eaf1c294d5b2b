"""One tick as named steps on one value: `steps` has their order, a step takes a `TickState` and gives it on
with more.

The world is touched at both ends only: `settle` and `observe` before anything is decided, `apply` and `tell`
after it. All between is worked out from the value. A step that fails ends the tick, and the next one begins
from what the last whole tick left (`TickMemory`); so nothing has to be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from conductor.base import hours
from conductor.base.logs.events import emit_event
from conductor.base.logs.fallbacks import tell_fallback
from conductor.base.settings.limits import live
from conductor.core.admission import recalls
from conductor.core.admission.admission import Deciding
from conductor.core.admission.gate_ledger import (
    carried,
    is_other_reason,
    lost_by_backlog,
    rates_left,
    readings_of,
    unreached,
)
from conductor.core.admission.gate_waits import GateWaits
from conductor.core.admission.idle_queues import IdleQueues
from conductor.core.admission.incremental import Keeping
from conductor.core.admission.late_nodes import with_silence
from conductor.core.admission.lookahead import next_look
from conductor.core.admission.offers import expected_next
from conductor.core.admission.queue_depth import depths
from conductor.core.needs.running_usage import measured
from conductor.core.rates import engine_choice
from conductor.model.decision import Decision, GateLedger
from conductor.model.limits import Limits, TaskRules
from conductor.model.report import CounterReading
from conductor.model.snapshot import Candidate, JobClass, KindState, Lookahead, Reservation, Snapshot
from conductor.model.subject import subject_of_line
from conductor.ports import Ledger, Rates
from conductor.tick.apply import Applied
from conductor.tick.apply import apply as hand_over
from conductor.tick.housekeeping import Housekeeping
from conductor.tick.log import TickLog
from conductor.tick.observe import observe as read_all
from conductor.tick.silent_nodes import SilentNodes
from conductor.tick.standstill import Standstill

#: The gate ledger's numbers are brought up to date so often even where no reason changed.
RECORD_EVERY_S = 2.0
#: Between two ticks while short jobs are fed.
REST_S = 0.01
#: Who took an offer begins meanwhile: on two cores a tick beside it costs its worker a millisecond.
GIVE_WAY_S = 0.004

OnTick = Callable[[Snapshot, Decision], None]
#: What `decide` was given, and its answer with the times of its holds: one that keeps it
#: (`conductor.analysis.replay.recording`).
Record = Callable[[Snapshot, Sequence[Candidate], Limits, Decision], None]
#: Puts learned needs in place of declared ones (`conductor.tick.learned_needs`).
Teach = Callable[[Snapshot, Sequence[Candidate]], tuple[Candidate, ...]]
#: Told when what waits of a kind went into review, and what is known of kinds.
OnReview = Callable[[str, Sequence[KindState]], None]
#: The tasks as they were read last; the same object while nothing of them changes.
LiveRules = Callable[[], TaskRules]
#: Counter → what its command said last (`conductor.adapters.host.counter_commands`).
Told = Callable[[], dict[str, CounterReading]]


class TickMemory(Struct, frozen=True, kw_only=True):
    """What one tick leaves for the next. A conductor that is started anew begins with its defaults."""

    #: The operator's, with the tasks and their canaries as they were read last.
    limits: Limits
    look: Lookahead = Lookahead()
    #: Jobs of begun chains in an order in which all of them are known to finish.
    order: tuple[str, ...] = ()
    #: As of the last tick, and as it was written down last.
    gates: GateLedger = GateLedger()
    recorded: GateLedger = GateLedger()
    #: Classes of which one more job may come, as their jobs declare them.
    expected: tuple[JobClass, ...] = ()
    #: The successors handed over and offers taken until then, where this tick left offers.
    offered_at: int | None = None
    #: Passed over, then admitted, and turned down by the hand-over: since when they were passed over.
    turned_down: Mapping[str, float] = {}
    #: The next tick begins no sooner.
    rest_s: float = 0.0
    #: What was handed over and is not over: a Redis that steps back may forget whose it is.
    seen: tuple[Reservation, ...] = ()


class TickState(Struct, frozen=True, kw_only=True):
    """What a tick knows so far. Each field is of the step that is named above it."""

    epoch: int
    #: As the tick before left it; from `leave` on, what this one leaves.
    memory: TickMemory
    #: settle: why nothing may be admitted; empty: it may.
    hold: str = ""
    #: observe: successors handed over until then, and named; None: not asked.
    successions: tuple[int, int] | None = None
    snapshot: Snapshot = Snapshot(now=0.0)
    candidates: tuple[Candidate, ...] = ()
    #: Task → seconds that one takes, of the short ones.
    task_durations: Mapping[str, float] = {}
    #: learn: the candidates as their jobs declare them.
    declared: tuple[Candidate, ...] = ()
    #: limit: those of this tick.
    limits: Limits = Limits()
    #: decide: what is ended by `explain`; who goes, and with `explain` who stays.
    deciding: Deciding | None = None
    decision: Decision = Decision(now=0.0)
    #: apply
    applied: Applied = Applied()
    #: explain: the first so many holds are this tick's own; `carry` adds those that it did not come to.
    own_holds: int = 0
    #: account: does the gate ledger go on record.
    is_news: bool = False
    #: leave: seconds until the next look.
    wait_s: float = 0.0


Step = Callable[[TickState], TickState]


class Listeners(Struct, frozen=True, kw_only=True):
    """Who is told of a tick, beside the ledger."""

    log: TickLog
    standstill: Standstill
    record: Record | None = None
    on_review: OnReview = lambda kind, states: None
    on_tick: OnTick = lambda snapshot, decision: None


def steps(
    ledger: Ledger,
    rates: Rates,
    housekeeping: Housekeeping,
    keeping: Keeping,
    listeners: Listeners,
    *,
    teach: Teach = lambda snapshot, candidates: tuple(candidates),
    rules: LiveRules | None = None,
    told: Told = dict,
) -> tuple[Step, ...]:
    """A tick, in order. Who goes is handed over before those that stay are told why: workers begin
    meanwhile.
    """
    waits = GateWaits()
    return (
        partial(settle, housekeeping),
        partial(observe, ledger, rates, told),
        give_way,
        partial(recall, ledger, SilentNodes(), IdleQueues()),
        partial(change_engines, ledger),
        remember,
        partial(limit, rules),
        partial(learn, teach),
        partial(decide, keeping),
        partial(apply, ledger, rates, waits),
        partial(explain, keeping),
        partial(offer, ledger),
        partial(carry, waits),
        partial(account, keeping),
        leave,
        partial(tell, ledger, listeners),
    )


# ── from the world ────────────────────────────────────────────────────────────────────────────────────────


def settle(housekeeping: Housekeeping, state: TickState) -> TickState:
    """What nobody runs any more goes back; does the ledger know all that it was told."""
    return replace(state, hold=housekeeping.settle(state.epoch, state.memory.seen))


def observe(ledger: Ledger, rates: Rates, told: Told, state: TickState) -> TickState:
    # Before all else: what is handed on from now on, the decision does not know of.
    successions = ledger.handover.successions() if state.memory.limits.has_successors else None
    snapshot, candidates = read_all(ledger, rates, state.memory.look)
    snapshot = replace(snapshot, counters=told())
    task_durations = ledger.handover.task_durations()
    return replace(
        state,
        successions=successions,
        snapshot=snapshot,
        candidates=candidates,
        task_durations=task_durations,
    )


def give_way(state: TickState) -> TickState:
    """Whoever was expected has come, and is on its way."""
    offered_at, now = state.memory.offered_at, state.successions
    if offered_at is not None and now is not None and now[0] > offered_at:
        time.sleep(GIVE_WAY_S)
    return state


def recall(ledger: Ledger, silent: SilentNodes, idle: IdleQueues, state: TickState) -> TickState:
    """What was handed over before the operator paused or drained its place, or would outlive its node, or to
    a node that is gone, or waits there while another host has nothing to do, and did not begin, goes back: it
    is a candidate of the next tick, which this rings for."""
    gone = silent.gone(state.snapshot, state.epoch, state.memory.limits.report_ttl_s)
    if gone:
        # An engine of single jobs may be silent for as long as its scheduler is.
        engines = ledger.pilots.states().engines.values()
        gone -= {engine.name for engine in engines if engine.mode == "jobs"}
    back = recalls.recalled(state.snapshot, () if state.hold else gone)
    # Where something has to go anyway, who else could take the rest is seen at the next tick.
    for held in () if state.hold or back else idle.recalled(state.snapshot):
        back.setdefault((held.node, "another host has nothing to do"), []).append(held)
    for (node, why), held in back.items():
        count = sum(ledger.orphans.give_back(each.job_id, each.attempt) for each in held)
        if count:
            words = "{jobs} jobs that nobody had started go back to the backlog: {why}"
            emit_event("jobs.returned", words, jobs=count, node=node, why=why)
    return state


def change_engines(ledger: Ledger, state: TickState) -> TickState:
    """Who waits at the gate of an engine that is away goes to another one of its list: it is in that one's
    class at the next tick, which this rings for."""
    seen = state.snapshot
    moved = [
        move
        for move in engine_choice.moves(state.candidates, seen.rates, seen.now)
        if ledger.commands.reclass(move.job_id, move.job_class)
    ]
    if not moved:
        return state
    fallen = [move for move in moved if move.is_fallback]
    lines = ledger.jobs.lines([move.job_id for move in fallen]) if fallen else {}
    for move in fallen:
        task, (reason, words) = move.job_class.task, move.why
        about = subject_of_line(lines.get(move.job_id, b""), task)
        tell_fallback(move.job_id, task, about, move.left, move.engine, reason, words)
    return replace(state, candidates=engine_choice.without(state.candidates, [move.job_id for move in moved]))


# ── what the decision goes by ─────────────────────────────────────────────────────────────────────────────


def remember(state: TickState) -> TickState:
    """The snapshot with what was true at the tick before, with the hours, and with what keeps all back."""
    memory, seen = state.memory, state.snapshot
    snapshot = replace(
        seen,
        nodes=with_silence(seen.nodes, seen.now, memory.limits),
        deep=depths(seen.nodes, seen.reservations, state.candidates, state.task_durations, memory.limits),
        passed_over={**memory.gates.passed_over, **memory.turned_down},
        used=memory.gates.used,
        outside_hours=hours.outside_hours(memory.limits.hours, seen.now),
        order=memory.order if seen.chains else (),
        controls=replace(seen.controls, hold=state.hold) if state.hold else seen.controls,
    )
    return replace(state, snapshot=snapshot)


def limit(rules: LiveRules | None, state: TickState) -> TickState:
    memory = state.memory
    if rules is not None and (now := rules()).tasks is not memory.limits.tasks:
        memory = replace(
            memory,
            limits=replace(
                memory.limits, tasks=now.tasks, canary=now.canary, canary_by_eye=now.canary_by_eye
            ),
        )
    return replace(state, memory=memory, limits=live(memory.limits, len(state.snapshot.nodes)))


def learn(teach: Teach, state: TickState) -> TickState:
    """The candidates with needs that receipts taught, and with what running jobs of their kind are seen to
    hold.
    """
    declared, expected = state.candidates, state.memory.expected
    asked = (*declared, *(Candidate(job_class=job_class, waiting=0, heads=()) for job_class in expected))
    taught = measured(state.snapshot, teach(state.snapshot, asked), state.limits)
    snapshot = replace(state.snapshot, expected=tuple(c.job_class for c in taught[len(declared) :]))
    return replace(state, snapshot=snapshot, declared=declared, candidates=taught[: len(declared)])


# ── the decision ──────────────────────────────────────────────────────────────────────────────────────────


def decide(keeping: Keeping, state: TickState) -> TickState:
    """Who goes now, and who next."""
    deciding = keeping.begin(state.snapshot, state.candidates, state.limits)
    return replace(state, deciding=deciding, decision=deciding.first())


def apply(ledger: Ledger, rates: Rates, waits: GateWaits, state: TickState) -> TickState:
    # What it waited for travels with the job, and is no part of what was decided.
    decision = waits.told(state.decision, state.memory.gates.holds, state.candidates)
    return replace(state, applied=hand_over(ledger, rates, state.epoch, decision, state.successions))


def explain(keeping: Keeping, state: TickState) -> TickState:
    """Who stays, and what each gate said."""
    assert state.deciding is not None, "it was decided who goes"
    decision = keeping.end(state.deciding, state.decision)
    return replace(state, deciding=None, decision=decision, own_holds=len(decision.hold))


def offer(ledger: Ledger, state: TickState) -> TickState:
    """What a job that comes before anything else changes need not wait for."""
    if state.decision.offers and state.successions is not None:
        ledger.handover.offer(state.epoch, state.decision.offers, state.successions[0])
        return replace(state, memory=replace(state.memory, offered_at=state.successions[0]))
    return replace(state, memory=replace(state.memory, offered_at=None))


# ── what is left of it ────────────────────────────────────────────────────────────────────────────────────


def carry(waits: GateWaits, state: TickState) -> TickState:
    """Since when each gate is closed, and what it has cost; with the holds of classes whose turn did not
    come.
    """
    decision, before = state.decision, state.memory.gates
    held = (*decision.hold, *unreached(decision, before, state.candidates))
    holds = carried(held, before, decision.now)
    waits.look(before.holds, holds, decision.now)
    return replace(state, decision=replace(decision, hold=holds))


def account(keeping: Keeping, state: TickState) -> TickState:
    """The gate ledger after this tick. It goes on record now and then, and at once where a reason is
    another one.
    """
    decision, snapshot, memory = state.decision, state.snapshot, state.memory
    lost_s, last = lost_by_backlog(memory.gates, decision.now), memory.recorded
    gates = GateLedger(at=decision.now, holds=decision.hold, lost_s=lost_s, wanted=decision.wanted)
    gates = replace(gates, used=decision.used)
    # A node removes files for room that will be wanted: it hears of it while others still run.
    is_news = is_other_reason(decision.hold, last.holds) or decision.wanted != last.wanted
    if decision.now - last.at < RECORD_EVERY_S and not is_news:
        return replace(state, memory=replace(memory, gates=gates))
    gates = replace(
        gates,
        shared=keeping.shared(),
        rates=rates_left(snapshot.rates, decision.admit),
        counters=readings_of(snapshot),
        reports={node.node: node.sent_at for node in snapshot.nodes},
    )
    return replace(state, memory=replace(memory, gates=gates, recorded=gates), is_news=True)


def leave(state: TickState) -> TickState:
    """What the next tick goes on from, and how soon it comes."""
    decision, applied, snapshot, memory = state.decision, state.applied, state.snapshot, state.memory
    again = (admission.reservation.job_id for admission, _ in applied.refused)
    memory = replace(
        memory,
        look=next_look(memory.look, state.candidates, decision, has_chains=bool(snapshot.chains)),
        order=decision.order,
        expected=expected_next(memory.expected, state.declared, decision)
        if memory.limits.has_successors
        else (),
        turned_down={
            job_id: snapshot.passed_over[job_id] for job_id in again if job_id in snapshot.passed_over
        },
        rest_s=REST_S if snapshot.deep and applied.fed else 0.0,
        seen=snapshot.reservations,
    )
    # What was turned down by the hand-over would be tried again at once, for ever: the world needs a moment.
    wait_s = decision.next_tick_s if applied.fed or not applied.refused else memory.limits.tick_s
    return replace(state, memory=memory, wait_s=wait_s)


# ── back to the world ─────────────────────────────────────────────────────────────────────────────────────


def tell(ledger: Ledger, listeners: Listeners, state: TickState) -> TickState:
    snapshot, decision = state.snapshot, state.decision
    if listeners.record is not None:
        # Of what it did not get to, `decide` says nothing.
        own = replace(decision, hold=decision.hold[: state.own_holds])
        listeners.record(snapshot, state.candidates, state.limits, own)
    listeners.log.applied(state.applied)
    for kind, count in state.applied.reviewed.items():
        if count:
            listeners.on_review(kind, snapshot.kinds)
    listeners.log.held(decision.hold, decision.now)
    listeners.log.nodes(snapshot.nodes)
    if state.is_news:
        ledger.gate_record.record_gates(state.epoch, state.memory.gates)
    listeners.standstill.note(snapshot, decision)
    listeners.on_tick(snapshot, decision)
    return state
