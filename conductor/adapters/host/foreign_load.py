"""How much of this host's cores others use: all that is used, less what Conductor's own processes here use. A
node-side gate of the whole host."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from conductor.model.signal import Sensed, Signal

PROC = Path("/proc")
#: Over so long the share is taken: a page that opens in a browser is no load.
WINDOW_S = 10.0
#: Two looks closer than this say nothing: the kernel counts in hundredths of a second.
LEAST_S = 0.5
#: It opens at this part of the share, once it has been so for some time: a compiler pauses too.
OPENS_AT = 0.75
OPENS_AFTER_S = 30.0
#: Of /proc/stat: user, nice, system, (idle, iowait,) irq, softirq, steal. A guest's time is in the user's.
_BUSY = (1, 2, 3, 6, 7, 8)


class LoadMoment(NamedTuple):
    """Ticks of all cores together, since the boot."""

    at: float
    busy: int
    ours: int


class Process(NamedTuple):
    parent: int
    #: Of its own and of the children it has waited for.
    ticks: int


class ForeignLoad:
    """`share`: of the cores, above which it closes."""

    name = "load"

    def __init__(
        self,
        share: float,
        *,
        pid: int | None = None,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pid`: the node's own; all below it, and what started it if that is Conductor too, is ours."""
        self._share = share
        self._pid = os.getpid() if pid is None else pid
        self._proc = proc
        self._clock = clock
        self._moments: deque[LoadMoment] = deque()

    def sense(self) -> Sensed:
        cores, busy = cores_of(self._proc / "stat")
        if not cores:
            return Sensed(
                untold=(f"how busy others keep this host cannot be told: {self._proc}/stat is not readable",)
            )
        now = LoadMoment(self._clock(), busy, self._ours())
        self._moments.append(now)
        while len(self._moments) > 2 and now.at - self._moments[1].at >= WINDOW_S:
            self._moments.popleft()
        before = self._moments[0]
        if now.at - before.at < LEAST_S:
            return Sensed(told="by all that is used, less what is ours")
        passed = (now.at - before.at) * cores * os.sysconf("SC_CLK_TCK")
        others = (now.busy - before.busy) - max(0, now.ours - before.ours)
        share = min(1.0, max(0.0, others / passed))
        return Sensed(signals=(self._signal(share),), told=f"others use {share:.0%} of {cores} cores")

    def _signal(self, share: float) -> Signal:
        return Signal(
            gate=self.name,
            figure=round(share * 100),
            closes_at=self._share * 100,
            opens_at=round(self._share * 100 * OPENS_AT, 1),
            opens_after_s=OPENS_AFTER_S,
            unit="% of its cores",
            words="other programs keep this machine busy",
            is_yielding=True,
        )

    def _ours(self) -> int:
        processes = dict(processes_in(self._proc))
        below: dict[int, list[int]] = {}
        for pid, process in processes.items():
            below.setdefault(process.parent, []).append(pid)
        ticks, waiting = 0, [self._top(processes)]
        while waiting:
            pid = waiting.pop()
            ticks += processes[pid].ticks if pid in processes else 0
            waiting += below.get(pid, ())
        return ticks

    def _top(self, processes: Mapping[int, Process]) -> int:
        """The first of its ancestors that are Conductor's: `conductor up` has a server and a conductor
        beside it."""
        pid = self._pid
        while (parent := processes[pid].parent if pid in processes else 0) > 1 and self._is_conductors(
            parent
        ):
            pid = parent
        return pid

    def _is_conductors(self, pid: int) -> bool:
        try:
            words = (self._proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return any(word == b"conductor" or word.endswith(b"/conductor") for word in words)


def cores_of(stat: Path) -> tuple[int, int]:
    """(How many there are, ticks in which they were not idle); (0, 0) where that is not told."""
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
        fields = lines[0].split()
        return sum(line[3:4].isdigit() for line in lines if line.startswith("cpu")), sum(
            int(fields[i]) for i in _BUSY
        )
    except (OSError, ValueError, IndexError):
        return 0, 0


def processes_in(proc: Path) -> Iterator[tuple[int, Process]]:
    with suppress(OSError), os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdigit():
                with suppress(OSError, ValueError, IndexError):
                    fields = (proc / entry.name / "stat").read_bytes().rpartition(b")")[2].split()
                    yield int(entry.name), Process(int(fields[1]), sum(map(int, fields[11:15])))
