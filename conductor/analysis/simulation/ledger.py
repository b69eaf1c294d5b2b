"""What really happens on the simulated hosts: every device, host and disk is added up again, apart from the
decision, so that a decision that over-commits is found out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.analysis.simulation.cluster import SCRATCH
from conductor.analysis.simulation.workload import SimulatedJob
from conductor.model.limits import CounterRule
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation

NO_COUNTERS: Mapping[str, CounterRule] = {}


class SimulatedHost:
    """What one node has of each thing, and how much of it is in use: MiB, milli-cores, bytes."""

    __slots__ = ("cpu", "disk", "has_cpu", "has_disk", "has_ram", "has_vram", "ram", "vram")

    def __init__(self, node: NodeReport) -> None:
        self.has_vram: dict[str, int] = {device.key: device.vram_total_mib for device in node.devices}
        self.has_ram = node.ram_total_mib or 0
        self.has_cpu = round(node.cpu_count * 1000)
        self.has_disk = next((v.total_bytes or 0 for v in node.volumes if v.root == SCRATCH), 0)
        self.vram = dict.fromkeys(self.has_vram, 0)
        self.ram = self.cpu = self.disk = 0


class Hosts:
    """Use by host, against what it has. Disks hold what jobs write until the last reader has ended."""

    def __init__(
        self,
        nodes: Iterable[NodeReport],
        jobs: Iterable[SimulatedJob],
        counters: Mapping[str, CounterRule] = NO_COUNTERS,
    ) -> None:
        self._hosts = {node.node: SimulatedHost(node) for node in nodes}
        self._most = {name: rule.limit for name, rule in counters.items()}
        #: Charge key → how many are held, of what is counted by name.
        self._counted: dict[str, int] = {}
        self._readers: dict[str, int] = {}
        #: Path → (bytes, its node) of what is on a disk.
        self._files: dict[str, tuple[int, str]] = {}
        #: Paths that a running job holds: part of what it reserves.
        self._coming: set[str] = set()
        for job in jobs:
            for path in job.reads:
                self._readers[path] = self._readers.get(path, 0) + 1
        #: Starts that found no room: an out-of-memory, or a full disk.
        self.overruns = 0
        self.peak_disk = 0

    def started(self, job: SimulatedJob, r: Reservation) -> None:
        host = self._hosts[r.node]
        is_over = False
        for key in r.devices:
            used = host.vram[key] = host.vram[key] + r.vram_mib
            is_over |= used > host.has_vram[key]
        host.ram += r.ram_mib
        host.cpu += round(r.cpu * 1000)
        host.disk += job.job_class.needs.scratch_bytes
        # Also files whose size nobody declared: they are let go like all others.
        for path, size in job.writes.items():
            host.disk += size
            self._files[path] = (size, r.node)
            self._coming.add(path)
        is_over |= host.ram > host.has_ram or host.cpu > host.has_cpu or host.disk > host.has_disk
        for key, amount in r.held.items():
            self._counted[key] = self._counted.get(key, 0) + amount
            is_over |= self._counted[key] > self._most.get(key.rpartition(":")[2], 0)
        self.overruns += is_over
        self.peak_disk = max(self.peak_disk, host.disk)

    def ended(self, job: SimulatedJob, r: Reservation) -> None:
        host = self._hosts[r.node]
        for key in r.devices:
            host.vram[key] -= r.vram_mib
        for key, amount in r.held.items():
            self._counted[key] -= amount
        host.ram -= r.ram_mib
        host.cpu -= round(r.cpu * 1000)
        host.disk -= job.job_class.needs.scratch_bytes
        for path in job.reads:
            self._readers[path] -= 1
            self._remove(path)
        for path in job.writes:
            self._coming.discard(path)
            self._remove(path)

    def lying(self) -> dict[str, int]:
        """Node → bytes of files whose writer has ended."""
        found: dict[str, int] = {}
        for path, (size, node) in self._files.items():
            if path not in self._coming:
                found[node] = found.get(node, 0) + size
        return found

    def _remove(self, path: str) -> None:
        if not self._readers.get(path) and path in self._files:
            size, node = self._files.pop(path)
            self._hosts[node].disk -= size
