"""A program that the kernel ends when the process ends that started it (Linux).

Tied before it begins, by a small program that becomes it, and not by a `preexec_fn`: forking Python code out
of a process with threads and gigabytes of model can deadlock, and copies the page tables.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence

from conductor.adapters.host import die_with_parent

#: A shell hands on what has such a name; some throw away what has another.
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Its parent may have died before it was tied: then nobody sends the signal any more.
_BECOME = f'[ "$PPID" = "$0" ] || exit {128 + signal.SIGTERM}; exec "$@"'


def tied(argv: Sequence[str], variables: Iterable[str]) -> list[str]:
    """`argv`, killed with this process. argv[0] is a full path; `variables`: the names of its environment."""
    if sys.platform != "linux":
        return list(argv)
    # A Python of its own takes 15 ms of CPU more, which is felt where each job starts a program.
    if (setpriv := _setpriv()) is not None and all(map(_SHELL_NAME.fullmatch, variables)):
        return [setpriv, "--pdeathsig", "KILL", "/bin/sh", "-c", _BECOME, str(os.getpid()), *argv]
    tie = f"{os.getpid()}:{int(signal.SIGKILL)}"
    return [sys.executable, "-I", "-S", die_with_parent.__file__, tie, *argv]


@functools.cache
def _setpriv() -> str | None:
    """Of util-linux; that of busybox ties nothing."""
    found = shutil.which("setpriv")
    if found is None:
        return None
    tried = subprocess.run([found, "--pdeathsig", "KILL", "/bin/sh", "-c", ":"], capture_output=True)
    return found if tried.returncode == 0 else None
