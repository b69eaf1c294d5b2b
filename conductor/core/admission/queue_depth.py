"""How deep a queue may be: shallow, so that the decision stays live; deeper where jobs are over in
milliseconds, or wait in a scheduler that knows better when there is room.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from conductor.model.limits import Limits
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Candidate, Reservation
from conductor.model.spec import LANES

#: A queue holds work for so long, where all of its lane is short.
AHEAD_S = 0.15
#: And no more than so many: each is looked at in every tick.
MOST_AHEAD = 256
#: A body that does nothing still has to be started and written down.
LEAST_S = 0.001


def depths(
    nodes: Iterable[NodeReport],
    reservations: Iterable[Reservation],
    candidates: Iterable[Candidate],
    task_durations: Mapping[str, float],
    limits: Limits,
) -> dict[str, int]:
    """Queue → how deep it may be in this tick, where that is another number than `limits.depth`.

    `task_durations`: task → seconds one takes, of the short ones; a lane with any other task in it stays
    shallow."""
    nodes, reservations = tuple(nodes), tuple(reservations)
    of_engines = _of_engines(nodes, reservations)
    if not task_durations:
        return of_engines
    slowest: dict[str, float] = {}
    going = [(r.lane, r.task) for r in reservations]
    for lane, task in (*going, *((c.job_class.lane, c.job_class.task) for c in candidates)):
        slowest[lane] = max(slowest.get(lane, LEAST_S), task_durations.get(task, math.inf))
    brisk = {lane: slowest[lane] for lane in LANES if slowest.get(lane, math.inf) < math.inf}
    found = {q.queue: _depth(q, brisk[q.lane]) for node in nodes for q in node.queues if q.lane in brisk}
    by_queue = {q.queue: limits.depth.get(q.lane, 1) for node in nodes for q in node.queues}
    return {queue: depth for queue, depth in found.items() if depth > by_queue[queue]} | of_engines


def _of_engines(nodes: Iterable[NodeReport], reservations: Sequence[Reservation]) -> dict[str, int]:
    """An engine that takes single jobs has them wait with it: whatever it may still be given."""
    found: dict[str, int] = {}
    for node in nodes:
        if node.single_jobs is not None:
            held = [r for r in reservations if r.node == node.node]
            left = max(0, node.single_jobs.most - len(held))
            waiting = Counter(r.queue for r in held if r.state == "admitted")
            found |= {queue.queue: waiting[queue.queue] + left for queue in node.queues}
    return found


def _depth(queue: QueueReport, pace_s: float) -> int:
    return min(MOST_AHEAD, math.ceil(queue.workers * AHEAD_S / pace_s))
