"""What this host has for all attempts together, as much of it as the process may use: cgroup v2 limits and
affinity count.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct

from conductor.model.report import Measure

MIB = 1 << 20
CGROUP = Path("/sys/fs/cgroup")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HostFacts(Struct, frozen=True, kw_only=True):
    """`cpu_count` may be a fraction (a container with half a core)."""

    #: By the name of its row in `core.capacity.resources`.
    measured: dict[str, Measure]
    cpu_count: float


def read(cgroup: Path = CGROUP) -> HostFacts:
    """Never raises: a host without /sys/fs/cgroup has no cgroup limits."""
    import psutil

    memory = psutil.virtual_memory()
    total, available, cpus = int(memory.total), int(memory.available), float(_allowed_cpus())
    for group in own_groups(cgroup):
        if (limit := _number(group / "memory.max")) is not None:
            total = min(total, limit)
            used = _number(group / "memory.current")
            if used is not None:
                available = min(available, max(0, limit - used + reclaimable(group)))
        if (quota := cpu_quota(group)) is not None:
            cpus = min(cpus, quota)
    return HostFacts(measured={"ram": Measure(total=total // MIB, free=available // MIB)}, cpu_count=cpus)


def boot_id() -> str:
    """The same until the host restarts."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def own_groups(cgroup: Path = CGROUP, own: Path = Path("/proc/self/cgroup")) -> tuple[Path, ...]:
    """The folders of this process's cgroup and of all above it: a limit of any of them holds."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return ()
    # In a container the path may be one of the host's («/../..»): then only the mount itself can be read.
    parts = [part for part in Path(path).parts if part != "/"]
    if ".." in parts:
        parts = []
    return tuple(cgroup.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def reclaimable(group: Path) -> int:
    """Bytes of the page cache that the kernel gives back when somebody asks for memory."""
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def cpu_quota(group: Path) -> float | None:
    """Cores by cpu.max («QUOTA PERIOD», «max PERIOD»: no limit)."""
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # not there, or «max»


def _allowed_cpus() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
