"""The processes a project is made of, as children of whoever holds them together: `up`, or one `conduct`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from conductor.adapters.host.own_copy import OwnCopy
from conductor.adapters.host.processes import spawn
from conductor.adapters.host.stopped_processes import StoppedProcesses, wake_below
from conductor.app.early_copy import taken
from conductor.base.errors import ConfigError, UsageError
from conductor.base.logs.events import emit_event
from conductor.node.restart_backoff import Backoff

#: From a start to «it is up».
READY_S = 60.0
#: Exit codes that no other start can heal: the settings must be changed first.
HOPELESS = {UsageError.exit_code, ConfigError.exit_code}


@dataclass
class Part:
    """One child: what it is called and how it is started."""

    name: str
    words: tuple[str, ...]
    process: subprocess.Popen[bytes] | OwnCopy | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    #: Beside what every part gets.
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


def start_part(project: Path, part: Part) -> None:
    """Its first process is a copy of this one, where one was kept; later ones are programs of their own."""
    env = {"CONDUCTOR_PROJECT": str(project), **part.env}
    copy = taken(part.words[0])
    part.process = copy and copy.become(part.words, env, project)
    if part.process is None:
        argv = [sys.executable, "-P", "-m", "conductor", *part.words]
        part.process = spawn(argv, env=env, cwd=project)
    part.started_at = time.monotonic()


def end_stopped(stopped: StoppedProcesses, parts: Sequence[Part]) -> None:
    """Kill those that somebody has stopped, and that have stood still for too long: they are started
    again.
    """
    by_pid = {part.process.pid: part for part in parts if part.process is not None}
    for pid, stood_s in stopped.over(by_pid, time.monotonic()).items():
        name = by_pid[pid].name
        words = "The {part} (pid {pid}) stood still for {seconds:.0f} s, stopped by a signal: killed"
        emit_event("part.killed", words, part=name, pid=pid, seconds=stood_s)
        # Below it they are told to go when it dies: those that stand too shall hear it.
        wake_below(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
