"""A worker in reserve: its imports are done and its child is up, so that a dead one is replaced in
milliseconds.

It serves no queue until it is told, in one line on its stdin, what a worker's command line and environment
say.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from conductor.adapters.host.processes import kill_session, spawn
from conductor.node.restart_backoff import Backoff

#: The next one is started so long after one was used: the worker that was just born goes first.
REST_S = 0.2
#: The first one of a node that is so old: in a shorter run it would cost as much as a worker, and help
#: nobody.
FIRST_S = 12.0
#: Room in the process's own words, so that `ps` can show the worker that it becomes.
WORDS_ROOM = 400


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a spare a worker."""

    argv: tuple[str, ...]
    env: dict[str, str]


def start_spare(project: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "workers", "--spare", " " * WORDS_ROOM]
    env = {"CONDUCTOR_PROJECT": str(project)}
    return spawn(argv, env=env, cwd=project, stdin=subprocess.PIPE)


class Spare:
    """At most one. Main thread only. Times are monotonic seconds."""

    def __init__(
        self, start: Callable[[], subprocess.Popen[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._start = start
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._first_at = self._start_at = clock() + FIRST_S
        self._backoff = Backoff()
        self._is_closed = False

    def tend(self) -> float | None:
        """Bury a dead one, start one that is due. Seconds until it wants to be asked again; None: no need."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._bury(self._process)
            self._start_at = self._clock() + self._backoff.died(self._clock() - self._started_at, code)
        if self._process is not None or self._is_closed:
            return None
        if self._clock() < self._start_at:
            return self._start_at - self._clock()
        self._process, self._started_at = self._start(), self._clock()
        return None

    def take(self, argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        """The spare as a worker of that command line; None when there is none."""
        process, self._process = self._process, None
        self._start_at = max(self._first_at, self._clock() + REST_S)
        if process is None:
            return None
        order = msgspec.json.encode(Order(argv=tuple(argv), env=dict(env)))
        try:
            assert process.stdin is not None, "it was started with a pipe"
            process.stdin.write(order + b"\n")
            process.stdin.close()
        except OSError:
            self._bury(process)
            return None
        return process

    def close(self) -> None:
        """Without a replacement from now on."""
        self._is_closed = True
        if self._process is not None:
            self._bury(self._process)

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        kill_session(process.pid)
        process.wait()
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                return  # what was written to it and not read goes with it
