"""A cgroup (v2) of its own for each worker's child, where one may be made: whatever a body starts stays in it.

Neither a session of its own, nor an emptied environment, nor a parent that is gone leads out of it. Elsewhere (cgroup
v1, macOS, no write access) there is none, and what is known of a family is its session, its parents and a mark.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Killed processes leave it within so long, or hang in the kernel.
_EMPTY_S = 1.0


@cache
def home() -> Path | None:
    """Ours, if it is of v2 and we may make others below it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::")).lstrip("/")
        mounts = (line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
        mount = next(before.split()[4] for before, after in mounts if after.startswith("cgroup2 "))
        folder = Path(mount) / own
        probe = folder / f"conductor-probe-{os.getpid()}"
        probe.mkdir()
        has_kill = (probe / "cgroup.kill").exists()
        probe.rmdir()
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return folder if has_kill else None


@cache
def _prefix() -> str:
    """Of ours: a pid means something in its own name space alone."""
    return f"conductor-{os.stat('/proc/self/ns/pid').st_ino}-"  # noqa: PTH116


def _room(folder: Path, session: int, parent: int, child: int) -> Path:
    return folder / f"{_prefix()}{session}-{parent}-{child}"


def enclose(session: int, parent: int, child: int) -> None:
    """`child` of `parent`, a process of that session, and all that it will start."""
    if (folder := home()) is None:
        return
    with suppress(OSError):
        room = _room(folder, session, parent, child)
        room.mkdir(exist_ok=True)
        (room / "cgroup.procs").write_text(str(child))


def end(session: int) -> int:
    """SIGKILL to all that children of that session left behind; how many got it. Their parent is gone, or goes."""
    folder = home()
    return 0 if folder is None else sum(_end(room) for room in folder.glob(f"{_prefix()}{session}-*"))


def end_child(session: int, parent: int, child: int) -> int:
    """The same of one child."""
    folder = home()
    return 0 if folder is None else _end(_room(folder, session, parent, child))


def sweep() -> int:
    """Of workers that are gone, with their node perhaps. How many were ended."""
    folder = home()
    rooms = [] if folder is None else list(folder.glob(f"{_prefix()}*-*-*"))
    return sum(_end(room) for room in rooms if not _is_there(room.name.split("-")[3]))


def _is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def _end(room: Path) -> int:
    try:
        killed = len((room / "cgroup.procs").read_text().split())
        if killed:
            (room / "cgroup.kill").write_text("1")
        until = time.monotonic() + _EMPTY_S
        while (room / "cgroup.procs").read_text().strip() and time.monotonic() < until:
            time.sleep(0.002)
        room.rmdir()
    except OSError:
        return 0  # Another one did it, or what is in it hangs in the kernel: the next sweep looks again.
    return killed
