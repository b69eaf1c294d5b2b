"""Values with sane defaults, so that a test says only what it is about."""

from __future__ import annotations

from typing import Any

from conductor.model.identity import identified
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.snapshot import Candidate, Head, JobClass, RateState, Reservation, Snapshot
from conductor.model.spec import JobSpec, Lane, Needs, RateNeed

NOW = 1_700_000_000.0
GIB = 1 << 30


def a_spec(n: int = 0, /, **changes: Any) -> JobSpec:
    """A manifest line; `n` makes it another job. Where no id is given it is the content's; writes may say
    `{id}`.
    """
    values = {
        "v": 1,
        "id": "nameless",
        "workflow": "system_test",
        "task": "diagnostics.echo",
        "args": {"n": n},
    }
    spec = JobSpec(**{**values, **changes})
    return spec if "id" in changes else identified(spec)


def needs(*, rates: dict[str, tuple[int, int]] | None = None, **amounts: Any) -> Needs:
    """`rates`: key → (requests, tokens)."""
    asked = {
        key: RateNeed(requests=requests, tokens=tokens) for key, (requests, tokens) in (rates or {}).items()
    }
    return Needs(rates=asked, **amounts)


def a_class(lane: Lane = "gpu", /, **changes: Any) -> JobClass:
    """A class of the gpu lane that asks nothing; keywords of `Needs` go into its needs."""
    amounts = {name: changes.pop(name) for name in Needs.__struct_fields__ if name in changes}
    values: dict[str, Any] = {"id": "class-a", "backlog": "b", "task": "media.cut", "lane": lane}
    return JobClass(**{**values, "needs": needs(**amounts), **changes})


def a_candidate(job_class: JobClass | None = None, /, *, waiting: int = 1, heads: int | None = None,
                since: float = NOW - 60) -> Candidate:  # fmt: skip
    """A class with `waiting` jobs, named after the class, all dispatched at `since`."""
    job_class = job_class or a_class()
    count = min(waiting, 16) if heads is None else heads
    rows = tuple(Head(job_id=f"{job_class.id}-{i:08d}", attempts=0, since=since) for i in range(count))
    return Candidate(job_class=job_class, waiting=waiting, heads=rows)


def a_device(index: int = 0, /, **changes: Any) -> Device:
    values: dict[str, Any] = {"index": index, "uuid": f"GPU-{index}", "name": "stub", "vram_total_mib": 24576}
    return Device(**{**values, "vram_used_mib": 0, **changes})


def a_volume(root: str = "scratch", /, **changes: Any) -> Volume:
    values: dict[str, Any] = {
        "root": root,
        "path": f"/disks/{root}",
        "total_bytes": 100 * GIB,
        "is_writable": True,
    }
    return Volume(**{**values, "free_bytes": 100 * GIB, **changes})


def a_report(node: str = "node1", /, *, devices: int | tuple[Device, ...] = 1, workers: int = 8,
             **changes: Any) -> NodeReport:  # fmt: skip
    """A fresh report of a host with workers in every lane. Without devices its gpu lane runs on the CPU."""
    found = tuple(a_device(i) for i in range(devices)) if isinstance(devices, int) else devices
    lanes: tuple[Lane, ...] = ("cpu", "io", "cloud")
    queues = [QueueReport(queue=f"{lane}-{node}", lane=lane, workers=workers) for lane in lanes]
    queues += [
        QueueReport(queue=f"gpu-{node}-{d.key}", lane="gpu", device=d.key, workers=workers) for d in found
    ]
    if not found:
        queues.append(QueueReport(queue=f"gpu-{node}", lane="gpu", workers=workers))
    values: dict[str, Any] = {
        "node": node,
        "host": node,
        "sent_at": NOW - 1,
        "devices": found,
        "volumes": (a_volume(), a_volume("published")),
        "queues": tuple(queues),
        "measured": memory(changes.pop("ram_total_mib", 65536), changes.pop("ram_available_mib", 65536)),
        "cpu_count": 16.0,
    }
    return NodeReport(**{**values, **changes})


def memory(total: int | None, free: int | None) -> dict[str, Measure]:
    """MiB; None: it cannot be read."""
    return {"ram": Measure(total=total, free=free)}


def a_reservation(job_id: str = "job-00000001", /, **changes: Any) -> Reservation:
    """Running since ten seconds on node1; with `vram_mib` it sits on gpu0."""
    devices = ("gpu0",) if changes.get("vram_mib") else ()
    node = changes.get("node", "node1")
    values: dict[str, Any] = {
        "job_id": job_id,
        "attempt": 1,
        "class_id": "class-a",
        "task": "media.cut",
        "node": node,
        "queue": f"gpu-{node}-gpu0",
        "lane": "gpu",
        "devices": devices,
        "state": "running",
        "admitted_at": NOW - 11,
        "started_at": NOW - 10,
    }
    return Reservation(**{**values, **changes})


def a_rate(key: str = "api", /, **changes: Any) -> RateState:
    return RateState(key=key, **changes)


def a_snapshot(**changes: Any) -> Snapshot:
    """One healthy node with one device, nothing running."""
    return Snapshot(**{"now": NOW, "nodes": (a_report(),), **changes})
