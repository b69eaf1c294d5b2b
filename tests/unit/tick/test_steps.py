"""Each step of a tick by itself: from one value to the next."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot
from msgspec.structs import replace

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.rates.rates import memory_rates
from conductor.base.errors import Unreachable
from conductor.base.settings.sections import Timing
from conductor.core.admission.admission import decide as decide_all
from conductor.core.admission.gate_waits import GateWaits
from conductor.core.admission.incremental import Keeping
from conductor.model.chains import Chain
from conductor.model.decision import Admission, Decision, GateLedger, Hold
from conductor.model.ledger_entries import Entry
from conductor.model.limits import Limits, TaskRules
from conductor.model.report import CounterReading
from conductor.model.snapshot import Candidate, KindState, Snapshot
from conductor.ports import Ledger
from conductor.recovery.lost_writes import Settler
from conductor.tick.apply import Applied
from conductor.tick.housekeeping import Housekeeping
from conductor.tick.log import TickLog
from conductor.tick.loop import Conductor
from conductor.tick.standstill import Standstill
from conductor.tick.steps import (
    GIVE_WAY_S,
    REST_S,
    Listeners,
    Step,
    TickMemory,
    TickState,
    account,
    carry,
    decide,
    explain,
    give_way,
    learn,
    leave,
    limit,
    observe,
    remember,
    settle,
    steps,
    tell,
)

FULL = a_candidate(a_class(vram_mib=20_000), waiting=3)


@pytest.fixture
def ledger() -> Ledger:
    return memory_ledger(ManualClock(NOW))


def a_state(*candidates: Candidate, memory: TickMemory | None = None, **more: Any) -> TickState:
    snapshot = more.pop("snapshot", None) or a_snapshot()
    return TickState(
        epoch=1,
        memory=memory or TickMemory(limits=Limits()),
        snapshot=snapshot,
        candidates=candidates,
        **more,
    )


def a_hold(head: str = "job-1", since: float | None = None) -> Hold:
    return Hold(
        class_id="c",
        backlog="b",
        task="t",
        lane="gpu",
        waiting=1,
        verdicts=(),
        head=head,
        passed_over_since=since,
    )


def a_housekeeping(ledger: Ledger, **more: Any) -> Housekeeping:
    return Housekeeping(ledger, Settler(ledger, None, 1.0), None, 3.0, **more)


def listeners(ledger: Ledger, **more: Any) -> Listeners:
    return Listeners(log=TickLog(), standstill=Standstill(ledger, ()), **more)


def refused(job_id: str) -> Applied:
    return Applied(refused=((Admission(reservation=a_reservation(job_id), backlog="b"), "not waiting"),))


def test_who_goes_is_handed_over_before_those_that_stay_are_told_why(ledger: Ledger) -> None:
    rates = memory_rates(ledger.calls, {})
    found = steps(ledger, rates, a_housekeeping(ledger), Keeping(), listeners(ledger))

    def name_of(step: Step) -> str:
        return cast("Callable[..., object]", getattr(step, "func", step)).__name__

    assert " ".join(map(name_of, found)) == (
        "settle observe give_way recall change_engines remember limit learn decide apply explain offer "
        "carry account leave tell"
    )


def test_a_job_of_a_class_that_was_just_admitted_needs_no_tick(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = list[float]()
    monkeypatch.setattr(time, "sleep", naps.append)
    leader = Conductor(
        ledger, memory_rates(ledger.calls, {}), replace(Limits(), has_successors=True), Timing(), "a"
    )
    small, line = a_class(id="small", backlog="b", vram_mib=100), b"{}"

    def put(job_id: str) -> dict[str, int]:
        ledger.intake.put("b", [Entry(job_id=job_id, line=line, job_class=small)])
        counts = ledger.tallies.counts()
        return {"waiting": counts["waiting"], "admitted": counts["admitted"]}

    ledger.reports.publish(a_report(), 60.0)
    assert put("job-00000001") == {"waiting": 1, "admitted": 0}, "the control: nobody expected it"
    ledger.bell.wait(0.001)
    leader.tick()
    leader.tick()
    assert naps == []

    assert put("job-00000002") == {"waiting": 0, "admitted": 2}
    leader.tick()
    assert naps == [GIVE_WAY_S], "its worker begins meanwhile"
    leader.tick()
    assert naps == [GIVE_WAY_S], "once for each that came"


def test_no_garbage_is_collected_within_a_tick(ledger: Ledger) -> None:
    leader = Conductor(
        ledger,
        memory_rates(ledger.calls, {}),
        Limits(),
        Timing(),
        "a",
        on_tick=lambda *_: seen.append(gc.isenabled()),
    )
    seen = list[bool]()

    leader.tick()

    assert (seen, gc.isenabled()) == ([False], True)


def test_settle_asks_the_guard_and_says_why_nothing_may_start(ledger: Ledger) -> None:
    whole, emptied = a_housekeeping(ledger), a_housekeeping(ledger, guard=lambda: "it was emptied")

    assert settle(whole, a_state()).hold == ""
    assert settle(emptied, a_state()).hold == "it was emptied"


def test_observe_counts_successors_only_where_there_are_any(ledger: Ledger) -> None:
    ledger.reports.publish(a_report(), 60)
    rates = memory_rates(ledger.calls, {})
    with_successors = TickMemory(limits=Limits(has_successors=True))

    told = {"nuke": CounterReading(others=2)}
    seen = observe(ledger, rates, lambda: told, a_state(memory=with_successors))

    assert seen.snapshot.counters == told
    assert (seen.successions, seen.snapshot.now, [n.node for n in seen.snapshot.nodes]) == (
        (0, 0),
        NOW,
        ["node1"],
    )
    assert observe(ledger, rates, dict, a_state()).successions is None


@pytest.mark.parametrize(
    ("offered_at", "handed_over", "waits_s"),
    [(3, 4, [GIVE_WAY_S]), (3, 3, []), (None, 4, [])],
    ids=["an offer was taken", "none was taken", "none was left"],
)
def test_a_tick_gives_way_to_the_worker_of_an_offer_that_was_taken(
    monkeypatch: pytest.MonkeyPatch, offered_at: int | None, handed_over: int, waits_s: list[float]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    state = a_state(memory=TickMemory(limits=Limits(), offered_at=offered_at), successions=(handed_over, 0))

    assert give_way(state) is state
    assert slept == waits_s


def test_remember_goes_on_from_the_tick_before() -> None:
    memory = TickMemory(
        limits=Limits(hours={"gpu": ((0, 1),), "b": ((0, 86_400),)}),
        order=("job-9",),
        gates=GateLedger(holds=(a_hold("job-1", NOW - 9), a_hold("job-2", NOW - 8), a_hold("job-3"))),
        turned_down={"job-2": NOW - 50},
    )
    state = a_state(FULL, memory=memory, hold="it was emptied")

    seen = remember(state).snapshot
    chained = remember(replace(state, snapshot=a_snapshot(chains=(Chain(id="x"),)), hold="")).snapshot

    assert seen.passed_over == {"job-1": NOW - 9, "job-2": NOW - 50}
    assert (list(seen.outside_hours), seen.order, seen.controls.hold) == (["gpu"], (), "it was emptied")
    assert (chained.order, chained.controls.hold) == (("job-9",), "")


def test_remember_deepens_the_queues_of_a_lane_whose_jobs_are_all_short() -> None:
    short = a_candidate(a_class("cpu", task="quick"))

    assert remember(a_state(short, task_durations={"quick": 0.002})).snapshot.deep == {"cpu-node1": 256}
    assert remember(a_state(short, FULL, task_durations={"quick": 0.002})).snapshot.deep == {"cpu-node1": 256}
    assert remember(a_state(short, task_durations={})).snapshot.deep == {}


def test_limit_takes_the_tasks_that_are_read_now_and_the_place_rule_for_so_many_nodes() -> None:
    wanted = TaskRules(tasks=("media.cut",), canary={"media.cut": 3})
    one = a_state(memory=TickMemory(limits=Limits(place="least_loss")))
    many = replace(one, snapshot=a_snapshot(nodes=tuple(a_report(f"node{n}") for n in range(65))))

    found = limit(lambda: wanted, one)

    assert (found.limits.canary, found.limits.tasks) == (wanted.canary, wanted.tasks)
    assert (found.memory.limits.canary, found.limits.place) == (wanted.canary, "least_loss")
    assert limit(lambda: wanted, found).memory is found.memory, "nothing of it has changed"
    assert (limit(None, many).limits.place, limit(None, many).memory.limits.place) == (
        "tightest",
        "least_loss",
    )


def test_learn_puts_what_was_taught_in_place_and_what_running_ones_hold_over_it() -> None:
    def teach(snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        return tuple(
            replace(c, job_class=replace(c.job_class, needs=a_class(vram_mib=2_000).needs))
            for c in candidates
        )

    device = replace(a_report().devices[0], vram_used_mib=6_000, ours={"w": 6_000})
    running = a_reservation(vram_mib=1_000, worker="w")
    busy = a_snapshot(nodes=(a_report(devices=(device,)),), reservations=(running,))

    memory = TickMemory(limits=Limits(), expected=(FULL.job_class,))
    idle, held = learn(teach, a_state(FULL, memory=memory)), learn(teach, a_state(FULL, snapshot=busy))

    assert [c.job_class.needs.vram_mib for c in (*idle.candidates, *held.candidates)] == [2_000, 6_016]
    assert [c.needs.vram_mib for c in idle.snapshot.expected] == [2_000], "who is expected asks as much"


def test_decide_names_who_goes_and_explain_who_stays() -> None:
    keeping, state = Keeping(), a_state(FULL)

    first = decide(keeping, state)
    whole = explain(keeping, first)

    assert len(first.decision.admit) == 1 and first.decision.hold == ()
    assert whole.decision == decide_all(state.snapshot, state.candidates, state.limits)
    assert (whole.own_holds, whole.deciding) == (1, None)


def test_carry_keeps_the_moment_at_which_a_gate_closed() -> None:
    keeping = Keeping()
    waits = GateWaits()
    first = carry(waits, explain(keeping, decide(keeping, a_state(FULL))))
    memory = TickMemory(limits=Limits(), gates=GateLedger(at=NOW, holds=first.decision.hold))
    later = a_state(FULL, memory=memory, snapshot=a_snapshot(now=NOW + 5, nodes=(a_report(sent_at=NOW + 5),)))

    second = carry(waits, explain(keeping, decide(keeping, later)))

    (hold,) = second.decision.hold
    assert (hold.since, hold.closed_since, hold.lost_s) == (NOW, {"vram": NOW}, {"vram": 5.0})


@pytest.mark.parametrize(
    ("later_s", "changes", "is_news"),
    [
        (1.0, {}, False),
        (2.0, {}, True),
        (1.0, {"hold": ()}, True),
        (1.0, {"wanted": {"node1/scratch": 5}}, True),
    ],
)
def test_account_goes_on_record_where_there_is_news_and_every_two_seconds(
    later_s: float, changes: dict[str, Any], is_news: bool
) -> None:
    told = GateLedger(at=NOW, holds=(a_hold(),))
    memory = TickMemory(limits=Limits(), gates=told, recorded=told)
    decision = replace(Decision(now=NOW + later_s, hold=(a_hold(),)), **changes)

    found = account(Keeping(), a_state(memory=memory, decision=decision))

    assert found.is_news == is_news
    assert found.memory.gates.at == NOW + later_s
    assert found.memory.recorded == (found.memory.gates if is_news else told)
    assert found.memory.gates.reports == ({"node1": NOW - 1} if is_news else {})


def test_leave_lets_the_world_move_where_all_was_turned_down() -> None:
    state = a_state(FULL, decision=Decision(now=NOW, next_tick_s=0.0, order=("job-9",)))
    state = replace(state, snapshot=a_snapshot(passed_over={"job-1": NOW - 5}, deep={"q": 9}))
    fed = Applied(fed=(Admission(reservation=a_reservation(), backlog="b"),))

    after = leave(replace(state, applied=refused("job-1")))
    busy = leave(replace(state, applied=fed))

    assert (after.wait_s, after.memory.turned_down, after.memory.order) == (
        1.0,
        {"job-1": NOW - 5},
        ("job-9",),
    )
    assert leave(replace(state, applied=refused("job-2"))).memory.turned_down == {}
    assert leave(state).wait_s == 0.0, "nothing was turned down"
    assert (after.memory.rest_s, busy.memory.rest_s, busy.wait_s) == (0.0, REST_S, 0.0)


def test_tell_records_what_was_decided_and_not_what_was_carried_along(ledger: Ledger) -> None:
    recorded: list[Decision] = []
    reviewed: list[str] = []
    epoch = ledger.leadership.lead("one", 60)
    assert epoch is not None

    def record(
        snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits, decision: Decision
    ) -> None:
        recorded.append(decision)

    def on_review(kind: str, states: Sequence[KindState]) -> None:
        reviewed.append(kind)

    to = listeners(ledger, record=record, on_review=on_review)
    gates = GateLedger(at=NOW, holds=(a_hold(),))
    state = replace(
        a_state(memory=TickMemory(limits=Limits(), gates=gates)),
        epoch=epoch,
        decision=Decision(now=NOW, hold=(a_hold("job-1"), a_hold("job-2"))),
        own_holds=1,
        applied=Applied(reviewed={"media.cut": 0, "media.mux": 2}),
    )

    tell(ledger, to, state)
    assert ledger.gate_record.gates() == GateLedger()
    tell(ledger, to, replace(state, is_news=True))

    assert [[hold.head for hold in decision.hold] for decision in recorded] == [["job-1"]] * 2
    assert reviewed == ["media.mux"] * 2
    assert ledger.gate_record.gates() == gates


def test_a_tick_that_breaks_off_leaves_what_the_last_whole_one_left(ledger: Ledger) -> None:
    ledger.reports.publish(a_report(), 60)
    conductor = Conductor(ledger, memory_rates(ledger.calls, {}), Limits(), Timing(), "one")
    conductor.tick()
    before = conductor._memory  # pyright: ignore[reportPrivateUsage]
    whole = conductor.steps

    def lost(state: TickState) -> TickState:
        raise Unreachable("Redis is away")

    conductor.steps = (*whole[:-1], lost)
    with pytest.raises(Unreachable):
        conductor.tick()

    assert conductor._memory is before  # pyright: ignore[reportPrivateUsage]
