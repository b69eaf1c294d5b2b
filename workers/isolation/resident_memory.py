"""How much host memory a family of processes holds, and whether that is more than was reserved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from workers.system.process_tree import children_of

#: An attempt may be so much above its reservation (contexts, rounding) before anybody looks closer.
SLACK = 1.1
SLACK_MIB = 256

_PAGE = os.sysconf("SC_PAGE_SIZE")


def is_over_reservation(held_mib: int, reserved_mib: int) -> bool:
    return held_mib > reserved_mib * SLACK + SLACK_MIB


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
