"""Which queues this host serves and with how many workers. Pure, but for the host's name."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Sequence

from msgspec import Struct

from conductor.base.settings.sections import Lanes
from conductor.model.report import Device
from conductor.model.spec import LANES, Lane

#: Per device: two jobs that fit share it.
GPU_WORKERS = 2
IO_WORKERS = 2
CLOUD_WORKERS = 4


class QueuePlan(Struct, frozen=True, kw_only=True):
    """One queue and how many worker processes listen to it."""

    queue: str
    lane: Lane
    workers: int
    device: str | None = None
    #: What CUDA knows the device by; empty without one.
    uuid: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """A worker serves one queue, on one card."""
        return self.queue, self.uuid


def node_name(given: str | None) -> str:
    """The node's name as it stands in queue names and keys: letters, digits, underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", given or socket.gethostname()) or "node"


def plan_queues(
    node: str, lanes: Lanes, devices: Sequence[Device], cpu_count: float, only: Collection[Lane] = LANES
) -> tuple[tuple[QueuePlan, ...], tuple[str, ...]]:
    """The queues with at least one worker, and what is to be said about them (the report's notes)."""
    counts: dict[Lane, int | None] = {
        "cpu": lanes.cpu.workers if lanes.cpu.workers is not None else max(1, int(cpu_count)),
        "io": lanes.io.workers if lanes.io.workers is not None else IO_WORKERS,
        "cloud": lanes.cloud.workers if lanes.cloud.workers is not None else CLOUD_WORKERS,
    }
    gpu, notes = _gpu_queues(node, lanes, devices)
    hosts = tuple(QueuePlan(queue=f"{lane}-{node}", lane=lane, workers=n or 0) for lane, n in counts.items())
    plans = tuple(plan for plan in (*gpu, *hosts) if plan.workers > 0 and plan.lane in only)
    return plans, notes if "gpu" in only else ()


def _gpu_queues(
    node: str, lanes: Lanes, devices: Sequence[Device]
) -> tuple[tuple[QueuePlan, ...], tuple[str, ...]]:
    given = lanes.gpu.workers
    if devices:
        workers = GPU_WORKERS if given is None else given
        return tuple(
            QueuePlan(queue=f"gpu-{node}-{d.key}", lane="gpu", workers=workers, device=d.key, uuid=d.uuid)
            for d in devices
        ), ()
    if lanes.gpu.on_cpu:
        # One at a time: without VRAM as the measure, two of them fight for the same cores.
        workers = 1 if given is None else given
        plan = QueuePlan(queue=f"gpu-{node}", lane="gpu", workers=workers)
        return (plan,), ("no device: the gpu lane runs on the CPU",)
    return (), ("no device: jobs of the gpu lane wait (lanes.gpu.on_cpu = true runs them on the CPU)",)
