"""Whose memory it is: the processes that the driver lists on a device, sorted into our workers' and
others'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from conductor.adapters.host.nvml_probe import MIB, RawGpus, RawProcess
from conductor.model.report import Device

#: pid → the worker below which it runs, None for a stranger.
Owner = Callable[[int], str | None]


def owner_among(workers: Mapping[int, str]) -> Owner:
    """By the chain of parents. `workers`: pid of a worker → its name. An orphan stays below the worker: it
    adopts.
    """

    def owner(pid: int) -> str | None:
        while pid > 1 and pid not in workers:
            pid = parent_of(pid)
        return workers.get(pid)

    return owner


def parent_of(pid: int) -> int:
    """0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def with_ours(devices: Iterable[Device], raw: RawGpus | None, owner: Owner) -> tuple[Device, ...]:
    """Each device with what our workers hold of it, where the driver tells."""
    listed = {device.index: device.processes for device in raw.devices} if raw is not None else {}
    return tuple(replace(device, ours=ours(listed.get(device.index, ()), owner)) for device in devices)


def ours(processes: Iterable[RawProcess], owner: Owner) -> dict[str, int] | None:
    """Worker → MiB. None where one of ours is of unknown size, or none is listed: a container may know them
    by other pids than the driver."""
    held: dict[str, int] = {}
    for process in processes:
        if (worker := owner(process.pid)) is None:
            continue
        if process.used_bytes is None:
            return None
        held[worker] = held.get(worker, 0) + process.used_bytes
    return {worker: -(-size // MIB) for worker, size in held.items()} or None
