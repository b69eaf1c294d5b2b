"""What waits in one host's queue while another host has nothing to do: a host that joins, or is done, finds
the backlog empty and the jobs handed over to others. Pure, with what the leader remembers from tick to tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Reservation, Snapshot

#: A queue without work is idle, and a job in another one waits, after so long: what a tick hands over is
#: begun within milliseconds.
IDLE_S = 1.0
#: So long a job is not moved again: what keeps it where it was (files, a place that is kept for another) is
#: the decision's to know, and it would go to and fro.
AGAIN_S = 600.0

Queues = Mapping[str, tuple[NodeReport, QueueReport]]


class IdleQueues:
    """The leader's."""

    def __init__(self) -> None:
        #: Queue → without work since when, while anything waits elsewhere.
        self._since: dict[str, float] = {}
        #: Job → when it was moved.
        self._moved: dict[str, float] = {}

    def recalled(self, seen: Snapshot) -> list[Reservation]:
        """Those that would begin at once on an idle host: as many as it has workers, the oldest first."""
        waiting = [
            r for r in seen.reservations if r.state == "admitted" and seen.now - r.admitted_at >= IDLE_S
        ]
        if not waiting:
            self._since.clear()
            return []
        self._moved = {job: at for job, at in self._moved.items() if seen.now - at < AGAIN_S}
        queues = {q.queue: (node, q) for node in seen.nodes for q in node.queues if q.workers}
        held = Counter(r.queue for r in seen.reservations)
        empty = {
            name for name, (node, queue) in queues.items() if not held[name] and _is_open(seen, node, queue)
        }
        self._since = {name: self._since.get(name, seen.now) for name in empty}
        idle = {name: queues[name] for name in empty if seen.now - self._since[name] >= IDLE_S}
        found = list(_pairs(seen, queues, idle, [r for r in waiting if r.job_id not in self._moved]))
        self._moved |= {held.job_id: seen.now for held, _ in found}
        # They come at the next tick: until then it is no more idle than others.
        self._since |= {name: seen.now for _, name in found}
        return [held for held, _ in found]


def _pairs(
    seen: Snapshot, queues: Queues, idle: Queues, waiting: list[Reservation]
) -> Iterator[tuple[Reservation, str]]:
    """Each with the idle queue that could take it."""
    seats = {name: queue.workers for name, (_, queue) in idle.items()}
    running = Counter(r.queue for r in seen.reservations if r.state == "running")
    for held in sorted(waiting, key=lambda r: r.admitted_at):
        if held.queue not in queues or running[held.queue] < queues[held.queue][1].workers:
            continue  # A worker of its own is free for it.
        fitting = (n for n, (node, queue) in idle.items() if seats[n] and _could_run(seen, held, node, queue))
        if (name := next(fitting, None)) is not None:
            seats[name] -= 1
            yield held, name


def _is_open(seen: Snapshot, node: NodeReport, queue: QueueReport) -> bool:
    """As far as the report tells: what the decision then says may be another thing."""
    controls = seen.controls
    if node.is_draining or controls.is_draining or node.node in controls.draining_nodes or node.single_jobs:
        return False
    if any(obstacle.device in ("", queue.device) for obstacle in node.obstacles):
        return False
    device = next((d for d in node.devices if d.key == queue.device), None)
    is_paused = f"{node.node}/{queue.device}" in controls.paused_devices
    return queue.device is None or (device is not None and not device.quarantined and not is_paused)


def _could_run(seen: Snapshot, held: Reservation, node: NodeReport, queue: QueueReport) -> bool:
    if queue.lane != held.lane or node.node == held.node or len(held.devices) > 1:
        return False
    if bool(held.devices) != (queue.device is not None):
        return False
    device = next((d for d in node.devices if d.key == queue.device), None)
    if device is not None and device.vram_total_mib < held.vram_mib:
        return False
    if node.ends_at is not None and node.ends_at - seen.now <= held.expected_s:
        return False
    roots = {volume.root for volume in node.volumes if volume.fault is None}
    free_mib = node.ram_available_mib
    has_ram = free_mib is None or free_mib >= held.ram_mib
    return has_ram and node.cpu_count >= held.cpu and held.disk.keys() <= roots
