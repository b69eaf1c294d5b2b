"""What an attempt takes, measured from outside: memory of the child's family, VRAM, bytes in its folders. Peaks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conductor.model.receipt import Usage
from workers.orphans import children_of

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """One attempt's peaks. `sample` is called now and then by the keeper; the rest by the main thread."""

    def __init__(self, folders: Sequence[Path], devices: Sequence[str] = ()) -> None:
        #: The child; 0 while there is none.
        self.pid = 0
        self._folders = tuple(folders)
        self._devices = tuple(devices)
        self._usage = Usage()

    def sample(self) -> Usage:
        pids = family(self.pid) if self.pid else []
        return self._add(Usage(rss_mib=resident_mib(pids), vram_mib=self._vram(pids), scratch_bytes=self._scratch()))

    def finish(self, rss_mib: int | None, cpu_s: float | None) -> Usage:
        """A last look when the body has ended, and what the child said of itself."""
        pids = [self.pid] if self.pid else []
        own = Usage(rss_mib=rss_mib, cpu_s=cpu_s, vram_mib=self._vram(pids), scratch_bytes=self._scratch())
        return self._add(own)

    def usage(self) -> Usage:
        return self._usage

    def _add(self, now: Usage) -> Usage:
        self._usage = larger(self._usage, now)
        return self._usage

    def _vram(self, pids: Sequence[int]) -> int | None:
        return vram_mib(pids, self._devices) if self._devices and pids else None

    def _scratch(self) -> int:
        return sum(map(folder_bytes, self._folders))


def larger(a: Usage, b: Usage) -> Usage:
    """Field by field; unknown gives way to known."""
    return Usage(
        vram_mib=_larger(a.vram_mib, b.vram_mib),
        rss_mib=_larger(a.rss_mib, b.rss_mib),
        scratch_bytes=_larger(a.scratch_bytes, b.scratch_bytes),
        cpu_s=_larger(a.cpu_s, b.cpu_s),
    )


def _larger(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else max(a, b)


def family(pid: int) -> list[int]:
    """`pid` and everything below it."""
    pids = [pid]
    for child in children_of(pid):
        pids += family(child)
    return pids


def resident_mib(pids: Sequence[int]) -> int | None:
    sizes = [size for pid in pids if (size := _resident_bytes(pid)) is not None]
    return sum(sizes) >> 20 if sizes else None


def _resident_bytes(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None if Path("/proc/self").exists() else _resident_by_psutil(pid)


def _resident_by_psutil(pid: int) -> int | None:
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None


def folder_bytes(folder: Path) -> int:
    """What the files below really occupy; files that vanish meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place, name)).st_blocks * 512
            except OSError:
                continue
    return total


def vram_mib(pids: Sequence[int], devices: Sequence[str]) -> int | None:
    """The most that these processes hold on one of the devices; None where the driver does not tell."""
    import pynvml

    try:
        pynvml.nvmlInit()
        used = [_used_on(pynvml, int(device.removeprefix("gpu")), set(pids)) for device in devices]
    except (ValueError, pynvml.NVMLError):
        return None
    known = [size for size in used if size is not None]
    return max(known) >> 20 if known else None


def _used_on(pynvml: Any, index: int, pids: set[int]) -> int | None:
    """Bytes, or None when none of `pids` is listed: a container may see other pids than the driver."""
    processes = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(index))
    sizes = [p.usedGpuMemory for p in processes if p.pid in pids and p.usedGpuMemory is not None]
    return sum(sizes) if sizes else None
