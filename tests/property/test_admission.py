"""What holds for every snapshot: nothing over-committed, the same answer twice, and a true reason for
every wait.
"""

from __future__ import annotations

import os
from typing import Any

from builders import (
    GIB,
    NOW,
    a_candidate,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_volume,
    memory,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.capacity.charges import charges, disk_key, sums_of
from conductor.core.capacity.resources import charge_key
from conductor.model.chains import Chain, FileJob
from conductor.model.decision import Decision
from conductor.model.limits import CounterRule, Limits
from conductor.model.receipt import Usage
from conductor.model.report import CounterReading, NodeReport
from conductor.model.snapshot import Candidate, Controls, Reservation, Snapshot
from conductor.model.spec import LANES

LIMITS = Limits(
    disk_headroom_bytes={"scratch": GIB, "published": 0},
    keep_after_s=100.0,
    aging_s=30.0,
    weights={"a": 2.0},
    counters={
        "nuke": CounterRule(limit=4, has_command=True),
        "seat": CounterRule(limit=2, per="node"),
        "encoder": CounterRule(limit=2, per="device"),
    },
)
NODES = ("n1", "n2")
few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")), deadline=None)

amount = st.sampled_from([0, 1, 1000, 4096, 10240, 16384, 24064, 24576, 65536])
maybe = st.one_of(st.none(), st.integers(0, 24576))
maybe_bytes = st.one_of(st.none(), st.integers(0, 100 * GIB))
plenty = st.one_of(st.just(100 * GIB), st.integers(0, 100 * GIB))
seen, used = st.one_of(plenty, plenty, plenty, maybe_bytes), st.one_of(st.just(300), maybe)
counted = st.sampled_from(
    [*[{}] * 4, {"nuke": 1}, {"nuke": 3, "seat": 1}, {"seat": 2}, {"encoder": 1}, {"encoder": 2}]
)
written = st.sampled_from([{}, {}, {"scratch": GIB}, {"scratch": 20 * GIB}, {"scratch": 50 * GIB}])


#: Two jobs of the first class read what a third one has written.
CHAIN = Chain(
    id="chain",
    node="n1",
    jobs=tuple(
        FileJob(job_id=f"class-0-0000000{i}", reads=("scratch:x",), writes={f"scratch:y{i}": 30 * GIB})
        for i in (0, 1)
    ),
    kept={"scratch:x": 20 * GIB},
)


@st.composite
def reports(draw: st.DrawFn, node: str) -> NodeReport:
    devices = tuple(
        a_device(i, vram_total_mib=draw(st.sampled_from([8192, 24576, 40960])), vram_used_mib=draw(used),
                 quarantined=draw(st.sampled_from([None] * 7 + ["driver lost"])))
        for i in range(draw(st.integers(0, 3)))
    )  # fmt: skip
    # One file system or two: what is free there is free once.
    disk = draw(st.sampled_from([None, "one"]))
    free_there = draw(plenty)
    volumes = tuple(
        a_volume(root, filesystem=disk, free_bytes=free_there if disk else draw(seen),
                 is_writable=draw(st.sampled_from([True] * 7 + [False])),
                 fault=draw(st.sampled_from([None] * 7 + ["not mounted"])))
        for root in draw(st.sampled_from([*[("scratch", "published")] * 6, ("scratch",), ()]))
    )  # fmt: skip
    report = a_report(
        node,
        devices=devices,
        volumes=volumes,
        workers=draw(st.sampled_from([3, 3, 2, 2, 1, 0])),
        ram_total_mib=draw(st.sampled_from([None, 32768])),
        ram_available_mib=draw(st.one_of(st.just(32768), st.none(), st.integers(0, 32768))),
        cpu_count=draw(st.sampled_from([16.0, 16.0, 2.0, 0.5])),
        is_draining=draw(st.sampled_from([False] * 7 + [True])),
        sent_at=NOW - draw(st.sampled_from([0, *[1] * 10, 60])),
    )
    kept = tuple(q for q in report.queues if draw(st.sampled_from([True] * 9 + [False])))
    return structs.replace(report, queues=kept)


@st.composite
def reservations(draw: st.DrawFn, i: int) -> Reservation:
    node, key = draw(st.sampled_from(NODES)), draw(st.sampled_from(["gpu0", "gpu1"]))
    vram = draw(st.integers(0, 20000))
    usage = draw(st.one_of(st.none(), st.builds(Usage, vram_mib=maybe, rss_mib=maybe, scratch_bytes=maybe)))
    return a_reservation(
        f"run-{i:08d}",
        node=node,
        queue=f"gpu-{node}-{key}",
        devices=(key,) if vram else (),
        vram_mib=vram,
        ram_mib=draw(st.sampled_from([0, 0, 1000, 7000, 20000])),
        cpu=draw(st.sampled_from([0, 0.5, 0.5, 8])),
        held=draw(st.sampled_from([{}, {":nuke": 1}, {f"{node}:seat": 1}, {f"{node}/{key}:encoder": 1}])),
        disk=draw(written),
        usage=usage,
        expected_s=draw(st.sampled_from([0, 5, 500])),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    nodes = tuple(draw(reports(node)) for node in NODES if draw(st.sampled_from([True] * 5 + [False])))
    queues = [queue.queue for node in nodes for queue in node.queues]
    return Snapshot(
        now=NOW,
        nodes=nodes,
        reservations=tuple(draw(reservations(i)) for i in range(draw(st.sampled_from([0, 0, 1, 2, 3, 4])))),
        queued=draw(st.dictionaries(st.sampled_from(queues), st.integers(0, 6))) if queues else {},
        rates=draw(
            st.sampled_from(
                [
                    (),
                    (),
                    (),
                    (a_rate(closed_until=NOW + 9),),
                    (a_rate(requests_left=2, requests_limit=30),),
                    (a_rate(tokens_left=15, tokens_limit=40),),
                ]
            )
        ),
        counters=draw(
            st.sampled_from(
                [{"nuke": CounterReading(others=n)} for n in (0, 1)] + [{"nuke": CounterReading(fault="x")}]
            )
        ),
        shut=draw(st.sampled_from([{}] * 6 + [{"cloud": NOW + 60}, {"a": NOW + 60}])),
        # The first of a class was passed over: a place is kept for it.
        overtaken=draw(
            st.dictionaries(
                st.sampled_from([f"class-{i}-00000000" for i in range(4)]),
                st.sampled_from([NOW - 5, NOW - 200, NOW - 300]),
                max_size=3,
            )
        ),
        chains=draw(st.sampled_from([(), (), (), (), (CHAIN,), (structs.replace(CHAIN, node="n2"),)])),
        controls=Controls(
            paused_lanes=draw(st.sampled_from([()] * 6 + [("gpu",), ("cloud", "cpu")])),
            is_draining=draw(st.sampled_from([False] * 15 + [True])),
            draining_nodes=draw(st.sampled_from([()] * 5 + [("n1",)])),
        ),
    )


modest = st.fixed_dictionaries({
    "vram_mib": st.sampled_from([0, 1, 1000, 4096]),
    "ram_mib": st.sampled_from([0, 1, 1000, 4096]),
    "cpu": st.sampled_from([0, 1]),
    "scratch_bytes": st.sampled_from([0, 0, GIB, 20 * GIB]),
    "writes": st.sampled_from([{}, {}, {"published": GIB}, {"published": 30 * GIB}]),
    "rates": st.sampled_from([{}, {}, {"api": (1, 10)}]),
    "counters": counted,
})  # fmt: skip
demanding = st.fixed_dictionaries({
    "vram_mib": amount,
    "devices": st.sampled_from([1, 1, 1, 2]),
    "ram_mib": amount,
    "cpu": st.sampled_from([0, 0, 1, 4, 32]),
    "scratch_bytes": st.sampled_from([0, 0, GIB, 60 * GIB]),
    "writes": st.sampled_from([{}, {}, {"published": 0}, {"published": 70 * GIB}]),
    "rates": st.sampled_from([{}, {}, {"api": (1, 10)}, {"api": (31, 0)}]),
    "counters": counted,
})  # fmt: skip


@st.composite
def candidates(draw: st.DrawFn, i: int) -> Candidate:
    values: dict[str, Any] = draw(st.one_of(modest, modest, demanding))
    lane = draw(st.sampled_from(LANES))
    job_class = a_class(
        lane, id=f"class-{i}", backlog=draw(st.sampled_from("ab")), priority=draw(st.integers(0, 1)), **values
    )
    return a_candidate(job_class, waiting=draw(st.integers(1, 5)))


crowds = st.integers(1, 4).flatmap(lambda n: st.tuples(*(candidates(i) for i in range(n))))
Tick = tuple[Snapshot, tuple[Candidate, ...]]
#: Those that admit somebody, a fifth of all: where all are refused, nothing is ever over-committed.
admitting = st.tuples(snapshots(), crowds).filter(lambda tick: bool(decide(*tick, LIMITS).admit))
often_refused = settings(few, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def limits_of(snapshot: Snapshot) -> dict[str, int]:
    """Charge key → what may be held in all there, by the reports' own figures; what cannot be read is left
    out.
    """
    nuke = snapshot.counters["nuke"]
    most: dict[str, int] = {":nuke": 0 if nuke.others is None else 4 - nuke.others}
    for node in snapshot.nodes:
        most[charge_key("seat", node.node)] = 2
        for device in node.devices:
            most[charge_key("encoder", f"{node.node}/{device.key}")] = 2
            key = charge_key("vram", f"{node.node}/{device.key}")
            most[key] = max(0, device.vram_total_mib - LIMITS.vram_headroom_mib)
        if node.ram_total_mib is not None:
            most[charge_key("ram", node.node)] = max(0, node.ram_total_mib - LIMITS.ram_headroom_mib)
        most[charge_key("cpu", node.node)] = round(node.cpu_count * 1000)
        for volume in node.volumes:
            if volume.total_bytes is not None:
                most[disk_key(node.node, volume.root)] = volume.total_bytes - LIMITS.disk_headroom(
                    volume.root
                )
    return most


def fits_the_disks(node: NodeReport, added: dict[str, int]) -> bool:
    """What was admitted, with what is measured as free: roots on one file system together."""
    if not node.volumes or node.volumes[0].filesystem is None:
        return True
    together = sum(added.get(disk_key(node.node, volume.root), 0) for volume in node.volumes)
    return together <= (node.volumes[0].free_bytes or 0)


def total(reservations: Any) -> dict[str, int]:
    sums: dict[str, int] = {}
    for reservation in reservations:
        for key, held in charges(reservation).items():
            sums[key] = sums.get(key, 0) + held
    return sums


@often_refused
@given(admitting)
def test_nothing_is_over_committed(tick: Tick) -> None:
    snapshot, crowd = tick
    decision = decide(snapshot, crowd, LIMITS)

    added = total(a.reservation for a in decision.admit)
    after = total([*snapshot.reservations, *(a.reservation for a in decision.admit)])
    most = limits_of(snapshot)
    for key in added:
        assert after[key] <= most.get(key, after[key]), key
    for queue, count in counts(a.reservation.queue for a in decision.admit).items():
        assert snapshot.queued.get(queue, 0) + count <= depth_of(snapshot, queue)
    for at, budget in enumerate(("requests_left", "tokens_left")):
        spent = sum(a.rates["api"][at] for a in decision.admit if "api" in a.rates)
        assert spent <= next(
            (left for r in snapshot.rates if (left := getattr(r, budget)) is not None), spent
        )
    for node in snapshot.nodes:
        assert not any(a.reservation.node == node.node for a in decision.admit) or fits_the_disks(node, added)


@often_refused
@given(admitting)
def test_what_is_admitted_fits_beside_what_is_measured(tick: Tick) -> None:
    snapshot, crowd = tick
    decision = decide(snapshot, crowd, LIMITS)

    added = total(a.reservation for a in decision.admit)
    not_taken = total(
        structs.replace(r, vram_mib=max(0, r.vram_mib - ((r.usage.vram_mib or 0) if r.usage else 0)))
        for r in snapshot.reservations
    )
    for node in snapshot.nodes:
        for device in node.devices:
            key = charge_key("vram", f"{node.node}/{device.key}")
            if key in added and device.vram_used_mib is not None:
                free = device.vram_total_mib - device.vram_used_mib - LIMITS.vram_headroom_mib
                assert added[key] <= free - not_taken.get(key, 0)


@few
@given(snapshots(), crowds)
def test_the_same_snapshot_gives_the_same_decision(snapshot: Snapshot, crowd: tuple[Candidate, ...]) -> None:
    again = structs.replace(snapshot, nodes=snapshot.nodes[::-1], reservations=snapshot.reservations[::-1])

    assert decide(snapshot, crowd, LIMITS) == decide(snapshot, crowd, LIMITS)
    assert decide(snapshot, crowd, LIMITS).admit == decide(again, crowd[::-1], LIMITS).admit


@few
@given(snapshots(), crowds)
def test_each_class_is_admitted_in_full_or_held_with_a_closed_gate(
    snapshot: Snapshot, crowd: tuple[Candidate, ...]
) -> None:
    decision = decide(snapshot, crowd, LIMITS)

    for candidate in crowd:
        admitted = sum(a.reservation.class_id == candidate.job_class.id for a in decision.admit)
        holds = [hold for hold in decision.hold if hold.class_id == candidate.job_class.id]
        if holds:
            assert holds[0].closed
            assert holds[0].waiting == candidate.waiting - admitted > 0
        else:
            assert admitted == candidate.waiting


@often_refused
@given(admitting)
def test_the_ceilings_let_exactly_what_was_decided_through(tick: Tick) -> None:
    snapshot, crowd = tick
    sums = total(snapshot.reservations)
    for admission in decide(snapshot, crowd, LIMITS).admit:
        taken = charges(admission.reservation)
        assert {name for key in admission.ceilings for name in sums_of(key)} >= set(taken)
        assert all(set(taken) & set(sums_of(key)) for key in admission.ceilings), (
            "none over what it does not take"
        )
        for key, held in taken.items():
            sums[key] = sums.get(key, 0) + held
        for key, limit in admission.ceilings.items():
            assert sum(sums.get(name, 0) for name in sums_of(key)) <= limit


@few
@given(snapshots(), st.integers(0, 3).flatmap(candidates))
def test_a_held_job_whose_closed_gates_alone_are_removed_is_admitted(
    snapshot: Snapshot, candidate: Candidate
) -> None:
    candidate = structs.replace(candidate, waiting=1, heads=candidate.heads[:1])
    decision = decide(snapshot, [candidate], LIMITS)
    if not decision.hold:
        return

    gates = {verdict.gate for verdict in decision.hold[0].closed}
    opened = opened_up(snapshot, gates, candidate)

    assert admits(decide(opened, [candidate], LIMITS)), gates


def admits(decision: Decision) -> bool:
    return len(decision.admit) == 1


def a_host(name: str) -> NodeReport:
    """What opens the report gate where no node, or not the one that is asked for, has workers of the lane."""
    return a_report(
        name,
        devices=tuple(a_device(i, vram_total_mib=10**6) for i in range(3)),
        volumes=(big("scratch"), big("published")),
        ram_total_mib=10**7,
        ram_available_mib=10**7,
        cpu_count=1000.0,
    )


def opened_up(snapshot: Snapshot, gates: set[str], candidate: Candidate) -> Snapshot:
    """The snapshot with these gates made to pass, and nothing else changed."""
    lane = candidate.job_class.lane
    nodes, queued, draining = snapshot.nodes, snapshot.queued, snapshot.controls.draining_nodes
    if "report" in gates:
        nodes = tuple(structs.replace(node, sent_at=NOW) for node in nodes)
        home = next(
            (c.node for c in snapshot.chains for j in c.jobs if j.job_id == candidate.heads[0].job_id), None
        )
        if not any(
            q.lane == lane and q.workers for node in nodes if home in (None, node.node) for q in node.queues
        ):
            nodes = (*(node for node in nodes if node.node != home), a_host(home or "n9"))
            # It is another host under that name: with queues of its own, and nobody has said that it drains.
            queued = {queue: n for queue, n in queued.items() if not queue.startswith(f"{lane}-{home}")}
            draining = tuple(node for node in draining if node != home)
    controls = structs.replace(snapshot.controls, draining_nodes=draining)
    opened = tuple(opened_node(node, gates) for node in nodes)
    changes: dict[str, Any] = {"nodes": opened, "queued": queued, "controls": controls}
    if "hold" in gates:
        changes["controls"] = Controls()
        changes["shut"] = {}
    if "lane" in gates:
        changes["queued"] = {}
    if "rate" in gates:
        changes["rates"] = ()
    if "counter" in gates:
        changes["counters"] = {"nuke": CounterReading(others=0)}
    freed = {
        "vram": {"vram_mib": 0, "devices": ()},
        "counter": {"held": {}},
        "ram": {"ram_mib": 0},
        "cpu": {"cpu": 0},
        "scratch": {"disk": {}},
    }
    less = {name: value for gate in gates & set(freed) for name, value in freed[gate].items()}
    changes["reservations"] = tuple(structs.replace(r, **less) for r in snapshot.reservations)
    return structs.replace(snapshot, **changes)


def opened_node(node: NodeReport, gates: set[str]) -> NodeReport:
    changes: dict[str, Any] = {}
    devices = node.devices
    if "vram" in gates:
        while len(devices) < 3:
            devices = (*devices, a_device(len(devices)))
        devices = tuple(structs.replace(d, vram_total_mib=10**6, vram_used_mib=0) for d in devices)
    if "hold" in gates:
        devices = tuple(structs.replace(d, quarantined=None) for d in devices)
        changes["is_draining"] = False
    if "mount" in gates:
        volumes = {root: big(root) for root in ("scratch", "published")}
        volumes |= {v.root: structs.replace(v, fault=None, is_writable=True) for v in node.volumes}
        changes["volumes"] = tuple(volumes.values())
    if "scratch" in gates:
        volumes = changes.get("volumes", node.volumes)
        changes["volumes"] = tuple(structs.replace(v, total_bytes=10**15, free_bytes=10**15) for v in volumes)
    if "ram" in gates:
        changes["measured"] = memory(10**7, 10**7)
    if "cpu" in gates:
        changes["cpu_count"] = 10**6
    return structs.replace(node, devices=devices, **changes)


def big(root: str) -> Any:
    return a_volume(root, total_bytes=10**15, free_bytes=10**15)


def counts(names: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def depth_of(snapshot: Snapshot, queue: str) -> int:
    return next(LIMITS.depth[q.lane] for node in snapshot.nodes for q in node.queues if q.queue == queue)
