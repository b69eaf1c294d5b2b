"""Nodes that end at a known time take what is over by then; engines that give each job a host of its own take
what one host holds, and so many at once."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_report, a_snapshot
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.queue_depth import depths
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.report import Measure, QueueReport, SingleJobs


def decided(duration_s: float, *ends_in_s: float | None):
    nodes = tuple(
        a_report(node=f"node{n}", ends_at=None if left is None else NOW + left)
        for n, left in enumerate(ends_in_s)
    )
    job_class = a_class("cpu", cpu=1.0, duration_s=duration_s)
    return decide(a_snapshot(nodes=nodes), [a_candidate(job_class)], Limits())


def test_a_job_goes_where_it_is_over_in_time() -> None:
    assert [a.reservation.node for a in decided(100.0, 50.0, 150.0).admit] == ["node1"]
    assert [a.reservation.node for a in decided(100.0, 50.0, None).admit] == ["node1"]
    assert len(decided(0.0, 50.0).admit) == 1, "nobody knows how long it takes"


def test_what_would_outlive_its_node_waits_and_is_told_why() -> None:
    (hold,) = decided(100.0, 50.0).hold

    (closed,) = [v for v in hold.closed if v.reason is Reason.NODE_ENDS]
    assert (closed.where, closed.need, closed.have) == ("node0", 100.0, 50.0)
    assert not hold.is_infeasible


LAB = SingleJobs(most=3, cpus=2, ram_mib=4096, devices=1, vram_mib=24_000, time_s=3600.0)


def at_the_lab(*lanes_and_needs: tuple[str, dict[str, float]], **of_class: object) -> Decision:
    queues = tuple(QueueReport(queue=f"{lane}-lab", lane=lane, workers=1) for lane in ("cpu", "io", "gpu"))
    memory = {"ram": Measure(total=1 << 20, free=1 << 20)}
    lab = a_report(node="lab", queues=queues, devices=(), cpu_count=64.0, measured=memory, single_jobs=LAB)
    candidates = [
        a_candidate(a_class(lane, id=f"c{n}", **needs, **of_class), heads=5)
        for n, (lane, needs) in enumerate(lanes_and_needs)
    ]
    snapshot = a_snapshot(nodes=(lab,))
    deep = depths(snapshot.nodes, snapshot.reservations, candidates, {}, Limits())
    return decide(replace(snapshot, deep=deep), candidates, Limits())


def test_an_engine_is_given_so_many_jobs_and_no_more_whichever_lanes_they_are_of() -> None:
    decision = at_the_lab(("cpu", {"cpu": 1.0}), ("io", {"cpu": 0.5}))

    assert len(decision.admit) == 3
    assert any(v.reason is Reason.QUEUE_FULL for hold in decision.hold for v in hold.closed)


@pytest.mark.parametrize(
    ("lane", "needs", "unit"),
    [
        ("cpu", {"cpu": 3.0}, "cores"),
        ("cpu", {"ram_mib": 5000}, "MiB of memory"),
        ("gpu", {"vram_mib": 30_000}, "MiB of VRAM"),
        ("gpu", {"vram_mib": 20_000, "devices": 2}, "GPUs"),
    ],
    ids=str,
)
def test_a_job_that_no_host_of_the_engine_could_hold_waits_and_is_told_why(
    lane: str, needs: dict[str, float], unit: str
) -> None:
    decision = at_the_lab((lane, needs))

    assert not decision.admit
    (closed,) = [v for v in decision.hold[0].closed if v.reason is Reason.BEYOND_ONE_JOB]
    assert (closed.where, closed.unit) == ("lab", unit)


def test_a_job_that_takes_longer_than_the_engine_gives_is_not_given_to_it() -> None:
    assert not at_the_lab(("cpu", {"cpu": 1.0}), duration_s=4000.0).admit
    assert at_the_lab(("cpu", {"cpu": 1.0}), duration_s=3000.0).admit


def test_a_job_with_vram_needs_no_device_of_the_engine_as_a_node() -> None:
    (first, *_) = at_the_lab(("gpu", {"vram_mib": 20_000})).admit

    assert (first.reservation.node, first.reservation.devices) == ("lab", ())
