"""The gate of a lane's queues: are they shallow, and of a full one, who has to end before it is not."""

from __future__ import annotations

from itertools import islice

from conductor.core.capacity.cluster import Free, NodeFree, QueueFree
from conductor.core.capacity.in_flight import INFINITY, release_at
from conductor.core.capacity.request import Demand
from conductor.model.decision import Verdict
from conductor.model.reason import OPEN, QUEUE_FULL, Detail


def lane(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """Is a queue of the lane shallow. Of a full one, `holders` are those that have to end before it is
    not.
    """
    return [
        Verdict(gate="lane", passed=True, reason=OPEN, where=q.where, need=1, have=q.depth - q.queued,
                limit=q.depth, unit="jobs")
        if q.has_room
        else _full(q, node, free)
        for q in node.queues.get(demand.lane, ())
    ]  # fmt: skip


def _full(queue: QueueFree, node: NodeFree, free: Free) -> Verdict:
    """Each that ends lets a worker take one from the queue."""
    going = (r for r in free.reservations.by_end(node.name) if r.queue == queue.name and r.state == "running")
    too_many = queue.queued - queue.depth + 1
    first = list(islice(going, too_many))
    at = release_at(first[-1], free.now) if len(first) == too_many else INFINITY
    return Verdict(
        gate="lane",
        passed=False,
        reason=QUEUE_FULL,
        where=queue.where,
        need=1,
        limit=queue.depth,
        unit="jobs",
        holders=tuple([r.job_id for r in first]),
        reopens_at=None if at == INFINITY else at,
        detail=Detail(queued=queue.queued),
    )
