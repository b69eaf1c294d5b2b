"""What can never run on the nodes that are there, said at dispatch with the smallest that would do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from conductor.core.capacity.resources import NODE
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass

NO_HEADROOM: Mapping[str, int] = {}


def never(
    job_class: JobClass,
    reports: Sequence[NodeReport],
    headroom: int = 0,
    disk_headroom: Mapping[str, int] = NO_HEADROOM,
) -> str | None:
    """Why no live node could ever run a job of this class, however empty it were; None when one could, or
    when nobody knows (a reading that cannot be had counts as enough). `headroom` is the VRAM kept free, in
    MiB; `disk_headroom` what is kept free of each root, in bytes."""
    able = [node for node in reports if any(queue.lane == job_class.lane for queue in node.queues)]
    if not able:
        return None  # workers of this lane may be started later: the lane gate holds it and says so
    needs = job_class.needs
    if needs.vram_mib and (fault := _vram(job_class, able, headroom)):
        return fault
    for row in NODE:
        need = row.need(needs) / row.scale
        if need > (best := _best(row.total(node) for node in able)):
            return f"needs {need:g} {row.words}, the largest node has {best:g}"
    return _disk(job_class, able, disk_headroom)


def _best(readings: Iterable[float | None]) -> float:
    return max((float("inf") if r is None else r for r in readings), default=0.0)


def _vram(job_class: JobClass, nodes: Sequence[NodeReport], headroom: int) -> str | None:
    if any(queue.lane == job_class.lane and queue.device is None for node in nodes for queue in node.queues):
        return None  # the gpu lane runs on the CPU there, and VRAM is not asked
    needs = job_class.needs
    large = [
        [d for d in node.devices if _best([d.vram_total_mib or None]) - headroom >= needs.vram_mib]
        for node in nodes
    ]
    # Slices of cards cannot be used together.
    if any(sum(needs.devices == 1 or not d.is_slice for d in found) >= needs.devices for found in large):
        return None
    largest = max((d.vram_total_mib - headroom for node in nodes for d in node.devices), default=0)
    if any(large):
        return f"needs {needs.devices} devices of {needs.vram_mib} MiB at once, no node has so many"
    return (
        f"needs {needs.vram_mib} MiB of VRAM, the largest device offers {largest}: "
        f"a device of {needs.vram_mib + headroom} MiB would do"
    )


def _disk(job_class: JobClass, nodes: Sequence[NodeReport], headroom: Mapping[str, int]) -> str | None:
    wanted = dict(job_class.writes)
    if job_class.needs.scratch_bytes:
        wanted["scratch"] = wanted.get("scratch", 0) + job_class.needs.scratch_bytes
    for root, size in wanted.items():
        volumes = [volume for node in nodes for volume in node.volumes if volume.root == root]
        kept_free = headroom.get(root, 0)
        if volumes and size + kept_free > (best := _best(volume.total_bytes for volume in volumes)):
            would = size + kept_free
            return (
                f"needs {size} bytes in {root}, the largest such disk has {best:.0f}: one of {would} "
                "bytes would do"
            )
    return None
