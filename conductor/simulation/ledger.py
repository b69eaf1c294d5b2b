"""What really happens on the simulated hosts: every device, host and disk is added up again, apart from the decision,
so that a decision that over-commits is found out."""

from __future__ import annotations

from collections.abc import Iterable

from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.simulation.cluster import SCRATCH
from conductor.simulation.workload import Job


class Hosts:
    """Use by place, against what the place has. Disks hold what jobs write until the last reader has ended."""

    def __init__(self, nodes: Iterable[NodeReport], jobs: Iterable[Job]) -> None:
        self._has: dict[str, float] = {}
        self._used: dict[str, float] = {}
        for node in nodes:
            for device in node.devices:
                self._has[f"{node.node}/{device.key}"] = device.vram_total_mib
            self._has[f"{node.node}:ram"] = node.ram_total_mib or 0
            self._has[f"{node.node}:cpu"] = round(node.cpu_count * 1000)
            scratch = (v.total_bytes or 0 for v in node.volumes if v.root == SCRATCH)
            self._has[f"{node.node}:disk"] = next(scratch, 0)
        self._readers: dict[str, int] = {}
        #: Path → (bytes, disk) of what is on a disk.
        self._files: dict[str, tuple[int, str]] = {}
        #: Paths that a running job holds: part of what it reserves.
        self._coming: set[str] = set()
        for job in jobs:
            for path in job.reads:
                self._readers[path] = self._readers.get(path, 0) + 1
        #: Starts that found no room: an out-of-memory, or a full disk.
        self.overruns = 0
        self.peak_disk = 0.0

    def started(self, job: Job, r: Reservation) -> None:
        taken = [(f"{r.node}/{key}", r.vram_mib) for key in r.devices]
        taken += [(f"{r.node}:ram", r.ram_mib), (f"{r.node}:cpu", round(r.cpu * 1000))]
        disk = f"{r.node}:disk"
        # Also of files whose size nobody declared: they are let go like all others.
        taken.append((disk, job.job_class.needs.scratch_bytes + sum(job.writes.values())))
        is_over = False
        for place, amount in taken:
            used = self._used[place] = self._used.get(place, 0) + amount
            is_over |= used > self._has[place]
        self.overruns += is_over
        self.peak_disk = max(self.peak_disk, self._used.get(disk, 0))
        for path, size in job.writes.items():
            self._files[path] = (size, disk)
            self._coming.add(path)

    def ended(self, job: Job, r: Reservation) -> None:
        for key in r.devices:
            self._used[f"{r.node}/{key}"] -= r.vram_mib
        self._used[f"{r.node}:ram"] -= r.ram_mib
        self._used[f"{r.node}:cpu"] -= round(r.cpu * 1000)
        if job.job_class.needs.scratch_bytes:
            self._used[f"{r.node}:disk"] -= job.job_class.needs.scratch_bytes
        for path in job.reads:
            self._readers[path] -= 1
            self._let_go(path)
        for path in job.writes:
            self._coming.discard(path)
            self._let_go(path)

    def lying(self) -> dict[str, int]:
        """Node → bytes of files whose writer has ended."""
        found: dict[str, int] = {}
        for path, (size, disk) in self._files.items():
            if path not in self._coming:
                node = disk.removesuffix(":disk")
                found[node] = found.get(node, 0) + size
        return found

    def _let_go(self, path: str) -> None:
        if not self._readers.get(path) and path in self._files:
            size, disk = self._files.pop(path)
            self._used[disk] -= size
