"""What explain names, done, admits the job at the next tick, or it had said what else is in the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
from builders import (
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_snapshot,
    a_volume,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import sentence
from conductor.model.decision import Decision, GateLedger, Hold, Verdict
from conductor.model.limits import Limits, Order
from conductor.model.reason import PASSING
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Controls, JobClass, Reservation, Snapshot
from conductor.model.spec import Lane
from conductor.model.subject import SHORT_ID

GIB = 1 << 30
many = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")) * 5, deadline=None)
#: All but «fifo», whose first job keeps all others back; no live conductor follows it.
ORDERS: tuple[Order, ...] = ("oldest", "auto", "shortest", "guarded", "largest")
Scene = tuple[Snapshot, tuple[Candidate, ...]]


# ── scenes ────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def classes(draw: st.DrawFn, number: int) -> JobClass:
    lane: Lane = draw(st.sampled_from(["gpu", "gpu", "cpu", "cloud"]))
    return a_class(
        lane,
        id=f"{number}-class",
        backlog=draw(st.sampled_from("ab")),
        priority=draw(st.integers(0, 2)),
        vram_mib=draw(st.sampled_from([0, 4000, 11000, 20000])) if lane == "gpu" else 0,
        devices=draw(st.sampled_from([1, 1, 1, 2])) if lane == "gpu" else 1,
        ram_mib=draw(st.sampled_from([0, 4000, 30000])),
        cpu=draw(st.sampled_from([0, 1, 6])),
        writes={"scratch": draw(st.sampled_from([0, 0, 40])) * GIB},
        rates={"api": (1, 0)} if lane == "cloud" else {},
        duration_s=draw(st.sampled_from([0.0, 20.0, 60.0])),
    )


@st.composite
def nodes(draw: st.DrawFn, name: str) -> NodeReport:
    devices = [
        a_device(
            0,
            vram_used_mib=draw(st.sampled_from([0, 0, 6000, 21000])),
            quarantined=draw(st.sampled_from([None, None, None, "it fell off the bus"])),
        ),
        a_device(1, vram_total_mib=draw(st.sampled_from([12000, 24576]))),
    ]
    scratch = draw(st.sampled_from([{}, {}, {}, {"fault": "not mounted"}, {"free_bytes": 20 * GIB}]))
    return a_report(
        name,
        devices=tuple(devices[: draw(st.integers(1, 2))]),
        workers=draw(st.integers(1, 3)),
        cpu_count=float(draw(st.sampled_from([4, 12]))),
        sent_at=NOW - draw(st.sampled_from([1, 1, 1, 100])),
        is_draining=draw(st.sampled_from([False, False, False, True])),
        volumes=(a_volume(**scratch), a_volume("published")),
    )


@st.composite
def going(draw: st.DrawFn, node: NodeReport, number: int) -> Reservation:
    queue = draw(st.sampled_from(node.queues))
    devices = (queue.device,) if queue.device else ()
    is_running = draw(st.sampled_from([True, True, False]))
    return a_reservation(
        f"{number}-going-on",
        node=node.node,
        queue=queue.queue,
        lane=queue.lane,
        devices=devices,
        vram_mib=draw(st.sampled_from([3000, 9000])) if devices else 0,
        ram_mib=draw(st.sampled_from([0, 20000])),
        cpu=draw(st.sampled_from([0.0, 2.0])),
        disk=draw(st.sampled_from([{}, {"scratch": 30 * GIB}])),
        state="running" if is_running else "admitted",
        started_at=NOW - 10 if is_running else None,
        expected_s=draw(st.sampled_from([0.0, 5.0, 100.0])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    found = [draw(nodes(f"n{i}")) for i in range(draw(st.integers(1, 2)))]
    held = [draw(going(draw(st.sampled_from(found)), i)) for i in range(draw(st.integers(0, 6)))]
    kinds = [draw(classes(i)) for i in range(draw(st.integers(1, 4)))]
    candidates = tuple(
        a_candidate(kind, waiting=draw(st.integers(1, 3)), since=NOW - draw(st.sampled_from([5, 50, 500])))
        for kind in kinds
    )
    lanes: list[Lane] = ["gpu", "cpu"]
    controls = Controls(
        paused_lanes=tuple(draw(st.lists(st.sampled_from(lanes), max_size=1))),
        paused_devices=tuple(draw(st.lists(st.just("n0/gpu0"), max_size=1))),
        is_draining=draw(st.sampled_from([False] * 9 + [True])),
    )
    budgets = (
        {},
        {"closed_until": NOW + 30},
        {"requests_left": 0, "requests_limit": 5, "resets_at": NOW + 9},
    )
    snapshot = a_snapshot(
        nodes=tuple(found),
        reservations=tuple(held),
        queued=queued(held),
        controls=controls,
        rates=(a_rate(**draw(st.sampled_from(budgets))),),
        passed_over={
            c.heads[0].job_id: NOW - 1000 for c in candidates if draw(st.sampled_from([False, False, True]))
        },
    )
    return snapshot, candidates


def queued(held: Sequence[Reservation]) -> dict[str, int]:
    found: dict[str, int] = {}
    for r in held:
        if r.state == "admitted":
            found[r.queue] = found.get(r.queue, 0) + 1
    return found


# ── doing what was named ──────────────────────────────────────────────────────────────────────────────────


def without(snapshot: Snapshot, v: Verdict) -> Snapshot:
    """The scene after the obstacle that one gate named is gone."""
    node = v.where.partition("/")[0]
    if v.gate in ("vram", "scratch", "ram", "cpu", "lane"):
        snapshot = ended(snapshot, v)
        is_others = v.detail.others > 0 or not v.holders
        return edited(snapshot, node, emptied) if is_others else snapshot
    if v.gate == "rate":
        return replace(snapshot, rates=())
    if v.gate == "mount":
        return edited(
            snapshot, node, lambda n: replace(n, volumes=tuple(replace(x, fault=None) for x in n.volumes))
        )
    if v.gate == "report":
        return edited(snapshot, node, lambda n: replace(n, sent_at=NOW - 1))
    told = snapshot.controls
    controls = replace(
        told,
        is_draining=told.is_draining and v.where != "",
        paused_lanes=tuple(lane for lane in told.paused_lanes if lane != v.where),
        paused_devices=tuple(device for device in told.paused_devices if device != v.where),
    )
    return replace(edited(snapshot, node, lambda n: resumed(n, v.where)), controls=controls)


def ended(snapshot: Snapshot, v: Verdict) -> Snapshot:
    """Its holders have ended; for each that ran, a worker takes the next one of its queue."""
    over = [r for r in snapshot.reservations if r.job_id in v.holders]
    left = {r.job_id: r for r in snapshot.reservations if r not in over}
    freed = [r.queue for r in over if r.state == "running"]
    if v.gate == "lane" and not v.holders:  # its workers have nothing to do, and take them
        freed = [r.queue for r in left.values()]
    # Where fewer run than have to end, so many of the queued ones do too, each in its turn.
    to_end = v.detail.queued - round(v.limit) + 1 if v.gate == "lane" and over else 0
    more = max(0, to_end - len(over))
    last = over[-1].queue if over else ""
    begun = [begin_next(left, queue) for queue in (*freed, *[last] * more)]
    for job_id in [job_id for job_id in begun if job_id][:more]:
        del left[job_id]
    return replace(snapshot, reservations=tuple(left.values()), queued=queued(tuple(left.values())))


def begin_next(held: dict[str, Reservation], queue: str) -> str:
    """A worker takes the next one of its queue: which; "" when there is none."""
    nxt = next((r for r in held.values() if r.queue == queue and r.state == "admitted"), None)
    if nxt is None:
        return ""
    held[nxt.job_id] = replace(nxt, state="running", started_at=NOW)
    return nxt.job_id


def emptied(node: NodeReport) -> NodeReport:
    devices = tuple(replace(d, vram_used_mib=0) for d in node.devices)
    return replace(
        node, devices=devices, volumes=tuple(replace(v, free_bytes=v.total_bytes) for v in node.volumes)
    )


def resumed(node: NodeReport, where: str) -> NodeReport:
    """The node itself, or the device of it that is named."""
    devices = tuple(
        replace(d, quarantined=None) if where == f"{node.node}/{d.key}" else d for d in node.devices
    )
    return replace(node, is_draining=node.is_draining and where != node.node, devices=devices)


def edited(snapshot: Snapshot, name: str, edit: Callable[[NodeReport], NodeReport]) -> Snapshot:
    return replace(snapshot, nodes=tuple(edit(n) if name in ("", n.node) else n for n in snapshot.nodes))


def after(snapshot: Snapshot, decision: Decision) -> Snapshot:
    """The tick is over: what it admitted lies in the queues, and who is passed over is known."""
    held = (*snapshot.reservations, *(a.reservation for a in decision.admit))
    passed_over = GateLedger(holds=decision.hold).passed_over
    return replace(snapshot, reservations=held, queued=queued(held), passed_over=passed_over)


def left(candidates: Sequence[Candidate], gone: set[str]) -> tuple[Candidate, ...]:
    found = [(c, tuple(h for h in c.heads if h.job_id not in gone)) for c in candidates]
    return tuple(replace(c, heads=heads, waiting=len(heads)) for c, heads in found if heads)


def admitted(snapshot: Snapshot, candidates: Sequence[Candidate], rule: Limits) -> set[str]:
    return {a.reservation.job_id for a in decide(snapshot, candidates, rule).admit}


def named_to_wait(hold: Hold) -> set[str]:
    """Jobs that wait themselves, and are named: who goes before it, for whom a place or a budget is kept."""
    kept = {holder for v in hold.closed if v.gate == "hold" for holder in v.holders}
    return kept | ({hold.front.job_id} if hold.front else set())


def has_given_back(hold: Hold, decision: Decision) -> bool:
    """Open: what this tick admitted, and has to end first, gives back its backlog's share with it, and that
    backlog may go first again. Who stands in front is told by what every backlog holds after this tick.
    """
    admitted_now = {a.reservation.job_id for a in decision.admit}
    return any(admitted_now.intersection(v.holders) for v in hold.closed if not v.is_never)


def is_rehearsed(waiting: Sequence[Candidate], order: Order) -> bool:
    """Open: orders are played through on what is free, so with an obstacle gone another one may win."""
    return order in ("auto", "guarded") and all(c.job_class.duration_s for c in waiting)


def nowhere_large_enough(hold: Hold) -> bool:
    """Of nodes that do not report it is not known for good, but it is named."""
    places: dict[str, bool] = {}
    for v in hold.verdicts:
        if v.gate in ("vram", "scratch", "ram", "cpu", "mount"):
            node = v.where.partition("/")[0]
            is_never = v.is_never and (v.gate != "vram" or v.unit == "devices" or not several(hold, node))
            places[node] = places.get(node, False) or is_never
    return bool(places) and all(places.values())


def several(hold: Hold, node: str) -> bool:
    """Another device of it may be large enough."""
    return any(v.gate == "vram" and v.where.startswith(node) and not v.is_never for v in hold.verdicts)


@many
@given(scenes(), st.sampled_from(ORDERS))
def test_what_explain_names_done_admits_the_job_or_it_had_named_what_else_is_in_the_way(
    scene: Scene, order: Order
) -> None:
    check(scene, order)


@pytest.mark.parametrize("running", [1, 2, 3])
@pytest.mark.parametrize("waiting", [2, 3, 4, 5])
def test_of_a_queue_that_is_deeper_than_it_should_be_as_many_end_as_are_named(
    running: int, waiting: int
) -> None:
    """It may be: the depth was lowered since."""
    node = a_report("n0", workers=3)
    held = [
        a_reservation(
            f"{i}-going-on",
            node="n0",
            queue="cpu-n0",
            lane="cpu",
            state="running" if i < running else "admitted",
            started_at=NOW - 10 if i < running else None,
        )
        for i in range(running + waiting)
    ]
    snapshot = a_snapshot(nodes=(node,), reservations=tuple(held), queued=queued(held))
    check((snapshot, (a_candidate(a_class("cpu")),)), "oldest")


def check(scene: Scene, order: Order) -> None:
    snapshot, candidates = scene
    rule = Limits(order=order, keep_after_s=300.0, aging_s=3600.0, overdue_s=43_200.0)
    decision = decide(snapshot, candidates, rule)
    waiting = left(candidates, {a.reservation.job_id for a in decision.admit})

    for hold in decision.hold:
        assert all(v.passed == (v.reason in PASSING) for v in hold.verdicts)
        if hold.is_infeasible:
            continue
        words = sentence(hold, NOW, 60.0)
        if nowhere_large_enough(hold):
            assert "can never" in words
            continue
        freed = after(snapshot, decision)
        for verdict in hold.closed:
            if not verdict.is_never:  # of such a place nothing is named that would open it
                freed = without(freed, verdict)
        alone = left(tuple(c for c in waiting if c.job_class.id == hold.class_id), set())
        assert hold.head in admitted(replace(freed, passed_over={}), alone, rule), words
        if hold.head not in admitted(freed, waiting, rule):
            if has_given_back(hold, decision) or is_rehearsed(waiting, order):
                continue
            named = named_to_wait(hold)
            assert any(job_id[:SHORT_ID] in words for job_id in named), words
            assert named <= {head.job_id for c in waiting for head in c.heads}
