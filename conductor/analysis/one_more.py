"""One thing more: the hosts or the quotas as they would be, and the words for it. Pure.

What makes no sense here is None. Each is like the largest host or device that there is, so that its price is
that of one more of the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from conductor.analysis.simulation.cluster import SCRATCH
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.text import many
from conductor.model.pilot import PilotShape
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume

Nodes = tuple[NodeReport, ...]
Budgets = Mapping[str, Rate]

GB = 1_000_000_000
#: Of a pilot that is not there yet: as nodes have them by default (`conductor.node.queue_plan`).
GPU_WORKERS, IO_WORKERS, CLOUD_WORKERS = 2, 2, 4


def more_gpus(nodes: Nodes, count: int, vram_mib: int = 0) -> tuple[str, Nodes] | None:
    """On the host with the largest device, empty, each with as many workers as the others have. `vram_mib`
    0: as the largest. None: no GPU is there, so nothing tells what jobs would take on one.
    """
    if (host := gpu_host(nodes)) is None:
        return None
    mib = vram_mib or max(device.vram_total_mib for device in host.devices)
    words = f"{many(count, 'more GPU')} of {mib / 1024:.0f} GiB in {host.node}"
    return words, replaced(nodes, with_gpus(host, count, mib))


def more_scratch(nodes: Nodes, size: int) -> tuple[str, Nodes]:
    """`size`: bytes on each host."""
    return f"{size / GB:.0f} GB more scratch on each host", tuple(with_scratch(node, size) for node in nodes)


def more_quota(budgets: Budgets, factor: float) -> tuple[str, Budgets] | None:
    """None: no API has a quota."""
    words = f"{factor:g} × the quota of {', '.join(sorted(budgets))}"
    return (words, times(budgets, factor)) if budgets else None


def more_hosts(nodes: Nodes, count: int) -> tuple[str, Nodes] | None:
    """Like the host with most cores, without GPUs. None: no host is there."""
    if (like := cpu_host(nodes)) is None:
        return None
    more = (cpu_only(like, f"{like.node}-more-{n}") for n in range(count))
    return f"{many(count, 'more CPU host')} like {like.node}", (*nodes, *more)


def more_pilots(nodes: Nodes, engine: str, shape: PilotShape, count: int) -> tuple[str, Nodes] | None:
    """Each there at once, though it would wait for its engine first. None: no host says what roots and code
    it would have.
    """
    if (like := cpu_host(nodes)) is None:
        return None
    brings = f"{many(shape.cpus, 'core')}, {shape.ram_mib / 1024:.0f} GiB{_gpus_of(shape)}"
    more = (a_pilot(shape, f"{engine}-more-{n}", like) for n in range(count))
    return f"{many(count, 'more pilot')} of {engine} ({brings})", (*nodes, *more)


# ── of one host ───────────────────────────────────────────────────────────────────────────────────────────


def gpu_host(nodes: Nodes) -> NodeReport | None:
    """Where the largest device is."""
    able = [node for node in nodes if node.devices]
    return max(able, key=lambda node: max(d.vram_total_mib for d in node.devices), default=None)


def cpu_host(nodes: Nodes) -> NodeReport | None:
    """The one with most cores."""
    return max(nodes, key=lambda node: node.cpu_count, default=None)


def replaced(nodes: Nodes, other: NodeReport) -> Nodes:
    return tuple(other if node.node == other.node else node for node in nodes)


def with_gpus(node: NodeReport, count: int, vram_mib: int) -> NodeReport:
    """Devices of that size, empty, each with as many workers as the others have."""
    first = max((d.index for d in node.devices), default=-1) + 1
    workers = max((q.workers for q in node.queues if q.device is not None), default=GPU_WORKERS)
    devices = [
        Device(index=i, uuid=f"more-{i}", name="one more", vram_total_mib=vram_mib, vram_used_mib=0)
        for i in range(first, first + count)
    ]
    queues = [
        QueueReport(queue=f"gpu-{node.node}-{d.key}", lane="gpu", device=d.key, workers=workers)
        for d in devices
    ]
    return msgspec.structs.replace(node, devices=(*node.devices, *devices), queues=(*node.queues, *queues))


def with_scratch(node: NodeReport, size: int) -> NodeReport:
    return msgspec.structs.replace(
        node, volumes=tuple(_larger(v, size) if v.root == SCRATCH else v for v in node.volumes)
    )


def _larger(volume: Volume, size: int) -> Volume:
    """On a file system of its own: it is another disk."""
    total, free = volume.total_bytes, volume.free_bytes
    return msgspec.structs.replace(
        volume,
        total_bytes=None if total is None else total + size,
        free_bytes=None if free is None else free + size,
        filesystem=None,
    )


def times(budgets: Budgets, factor: float) -> Budgets:
    def more(amount: int | None) -> int | None:
        return None if amount is None else max(1, round(amount * factor))

    return {
        key: msgspec.structs.replace(
            rate,
            requests_per_min=more(rate.requests_per_min),
            tokens_per_min=more(rate.tokens_per_min),
            usd_per_day=None if rate.usd_per_day is None else rate.usd_per_day * factor,
        )
        for key, rate in budgets.items()
    }


def cpu_only(node: NodeReport, name: str) -> NodeReport:
    """The same host without its GPUs, under another name."""
    queues = tuple(
        msgspec.structs.replace(q, queue=f"{q.lane}-{name}") for q in node.queues if q.device is None
    )
    return msgspec.structs.replace(node, node=name, host=name, devices=(), queues=queues)


def a_pilot(shape: PilotShape, name: str, like: NodeReport) -> NodeReport:
    """A node as an engine would bring it, with the roots and the code of one that is there."""
    workers = {"cpu": shape.cpus, "io": IO_WORKERS, "cloud": CLOUD_WORKERS}
    queues = [
        QueueReport(queue=f"{lane}-{name}", lane=lane, workers=workers[lane])
        for lane in shape.lanes
        if lane != "gpu"
    ]
    bare = msgspec.structs.replace(
        like,
        node=name,
        host=name,
        devices=(),
        queues=tuple(queues),
        cpu_count=float(shape.cpus),
        measured={"ram": Measure(total=shape.ram_mib, free=shape.ram_mib)},
        is_draining=False,
        obstacles=(),
        ends_at=None,
    )
    has_gpus = shape.devices and "gpu" in shape.lanes
    return with_gpus(bare, shape.devices, shape.vram_mib) if has_gpus else bare


def _gpus_of(shape: PilotShape) -> str:
    return f", {many(shape.devices, 'GPU')} of {shape.vram_mib / 1024:.0f} GiB" if shape.devices else ""
