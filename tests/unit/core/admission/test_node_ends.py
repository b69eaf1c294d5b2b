"""Nodes that end at a known time take what is over by then, and nothing else."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_report, a_snapshot

from conductor.core.admission.admission import decide
from conductor.model.limits import Limits
from conductor.model.reason import Reason


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
