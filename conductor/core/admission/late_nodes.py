"""Hosts that have not reported when they should have: nothing new is handed to them while others can take it.

A host that has just vanished looks idle, so it is handed the next jobs: they wait until its report has run
out, and then behind what runs elsewhere. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from conductor.model.limits import Limits
from conductor.model.report import NodeReport, Obstacle
from conductor.model.spec import Lane

GATE = "silence"
WORDS = "it has not reported when it should have, and others can take this"


def with_silence(nodes: Sequence[NodeReport], now: float, limits: Limits) -> tuple[NodeReport, ...]:
    """The reports, those of late hosts with an obstacle that keeps the host closed. `now`: by the clock that
    stamped them (epoch seconds).

    A late host is closed only where each of its lanes has workers on a host that was heard in time, so a
    server that was away, or a network that is slow to all, closes nobody. An engine of single jobs is no
    host, and may be silent for as long as its scheduler is."""
    late_s = limits.report_late_s
    if late_s is None:
        return tuple(nodes)
    # One that is older still is no report, and the gate of that name says so.
    late = {
        node.node
        for node in nodes
        if late_s < now - node.sent_at <= limits.report_ttl_s and node.single_jobs is None
    }
    if not late:
        return tuple(nodes)
    heard = {
        lane for node in nodes if node.node not in late and not node.is_draining for lane in _lanes(node)
    }
    return tuple(
        _silent(node, late_s) if node.node in late and _lanes(node) <= heard else node for node in nodes
    )


def _lanes(node: NodeReport) -> set[Lane]:
    return {queue.lane for queue in node.queues if queue.workers}


def _silent(node: NodeReport, late_s: float) -> NodeReport:
    # No figures, so that it stays the same report from tick to tick.
    obstacle = Obstacle(gate=GATE, words=WORDS, figure=late_s, opens_at=late_s, since=node.sent_at + late_s)
    return replace(node, obstacles=(*node.obstacles, obstacle))
