"""One process beyond doubt: a pid is given out again, and the wall clock may be set meanwhile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from conductor.adapters.host.host_probe import boot_id

#: Elsewhere than on Linux two readings of a start may differ by so much.
SAME_START_S = 1.0


class KnownProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One process beyond doubt, whatever becomes of the clock meanwhile: a body may stand for hours."""

    pid: int
    #: Of Linux: ticks since the boot, which the kernel never changes; elsewhere epoch seconds.
    started: float
    boot: str
    #: Those who see each other by these numbers: inode of the pid namespace; 0: not told.
    namespace: int = 0


def of_process(pid: int) -> KnownProcess | None:
    """None: it is gone."""
    started = _started(pid)
    if started is None:
        return None
    return KnownProcess(pid=pid, started=started, boot=boot_id(), namespace=pid_namespace())


def is_there(process: KnownProcess) -> bool:
    """That very process lives."""
    started = _started(process.pid)
    is_same = started is not None and abs(started - process.started) < SAME_START_S
    return is_same and process.boot == boot_id()


def told(pid: int) -> str:
    """Of a process that is there: which one it is, for `is_gone`."""
    return msgspec.json.encode(of_process(pid)).decode()


def is_gone(told: str) -> bool:
    """It ran among those that we see, and is dead. Of one of another host, boot or container, and of one that
    does not tell, nobody here can say."""
    try:
        process = msgspec.json.decode(told, type=KnownProcess)
    except msgspec.DecodeError:
        return False
    is_of_ours = process.namespace != 0 and (process.boot, process.namespace) == (boot_id(), pid_namespace())
    return is_of_ours and not is_there(process)


def pid_namespace() -> int:
    """Inode of that of this process; 0: nobody tells."""
    return os.stat("/proc/self/ns/pid").st_ino if sys.platform == "linux" else 0  # noqa: PTH116


def _started(pid: int) -> float | None:
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return None if fields[0] in (b"Z", b"X") else float(fields[19])
        except (OSError, ValueError, IndexError):
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
