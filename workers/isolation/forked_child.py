"""The child as a copy of its parent: in milliseconds, where an import of its own takes a quarter of a second.

Only of a parent that has no threads, no connections and no device yet.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from conductor.adapters.host.shown_words import become, show_as

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings


class ForkedChild:
    """What `subprocess.Popen` is to a program, for a copy of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        code = self._look(0)
        return 0 if code is None else code

    def _look(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:
                # Somebody else reaped it, as `subprocess` has it: how it ended is not known.
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def forked(
    streams: tuple[int, int], ends: Sequence[int], environment: Mapping[str, str], settings: CodeSettings
) -> ForkedChild:
    """`streams`: descriptors of its stdout and stderr; of all others it keeps `ends` (-1: none)."""
    if (threads := threading.active_count()) > 1:
        raise RuntimeError(
            f"a copy of a process with {threads} threads would have locks that nobody lets go of"
        )
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _live(parent, streams, ends, environment, settings)
    return ForkedChild(pid)


def _live(
    parent: int,
    streams: tuple[int, int],
    ends: Sequence[int],
    environment: Mapping[str, str],
    settings: CodeSettings,
) -> NoReturn:
    code = 1
    try:
        # What the parent holds is never let go of here: the numbers of its descriptors are others' soon.
        gc.freeze()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.setpgid(0, 0)
        _keep(streams, ends)
        become(environment)
        words = [str(parent), *map(str, ends)]
        show_as([sys.executable, "-m", "workers.isolation.child_main", *words])
        from workers.isolation.child_main import main

        # To read them out of what a line says would copy two MiB of what both share.
        code = main(words, settings)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # Nothing that the parent would do at its end.
        os._exit(code)


def _keep(streams: tuple[int, int], ends: Sequence[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    # As one: the second may be 1 or 2 itself.
    out, error = map(os.dup, streams)
    os.dup2(out, 1)
    os.dup2(error, 2)
    kept = sorted({2, *(end for end in ends if end > 2)})
    for low, high in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)
