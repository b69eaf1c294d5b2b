"""What holds for every snapshot: nothing over-committed, the same answer twice, and a true reason for
every wait.
"""

from __future__ import annotations

import os
from typing import Any

from builders import (
    NOW,
    a_device,
    a_report,
    a_volume,
    memory,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from random_ticks import LIMITS, Tick, candidates, crowds, snapshots

from conductor.core.admission.admission import decide
from conductor.core.capacity.charges import charges, disk_key, sums_of
from conductor.core.capacity.resources import charge_key
from conductor.model.decision import Decision
from conductor.model.report import CounterReading, NodeReport
from conductor.model.snapshot import Candidate, Controls, Snapshot

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")), deadline=None)
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
        changes["outside_hours"] = {}
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
