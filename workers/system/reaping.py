"""The end of a child process: waited for no longer than is sensible, and what it used."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from conductor.base.errors import ConductorError

#: What was killed ends at once, or when the disk that it waits for answers.
REAP_LIMIT_S = 30.0
_PF_EXITING = 0x4


class EndedProcess(Protocol):
    """A child of this process: a program, or a copy."""

    pid: int
    returncode: int | None

    def wait(self) -> int: ...


class Unkillable(ConductorError):
    """Killed, and still there: it hangs in the kernel, on a disk or a mount that does not answer."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            f"process {pid} of a task was killed and does not end (a disk or a mount that does not answer?): "
            "this worker leaves, and its attempts go back"
        )


def has_ended(process: EndedProcess, limit_s: float) -> bool:
    """Without reaping it: who does that is told what it used."""
    deadline = time.monotonic() + limit_s
    while process.returncode is None:
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
                continue
        break
    return True


def is_ending(pid: int) -> bool:
    """Its last instruction is behind it; a gigabyte, or a device, may take seconds to be given back.

    False where the kernel does not say (the flag is of Linux's `include/linux/sched.h`)."""
    try:
        flags = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[6])
    except (OSError, IndexError, ValueError):
        return False
    return bool(flags & _PF_EXITING)


def reap(process: EndedProcess) -> tuple[int, int | None]:
    """Its exit status as `subprocess` gives it, and its peak in MiB where the kernel says so."""
    if process.returncode is not None:
        return process.returncode, None
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return process.wait(), None
    process.returncode = os.waitstatus_to_exitcode(status)
    # KiB on Linux, bytes on macOS.
    return process.returncode, usage.ru_maxrss >> (10 if sys.platform == "linux" else 20)
