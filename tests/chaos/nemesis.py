"""The nemesis: a schedule of kills drawn from a seed, carried out on a world, each remembered with its
victims.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from tests.chaos.world import ChaosWorld, Proc

#: What is done, and how often in relation to the others.
WEIGHTS: dict[str, int] = {
    "body": 38,
    "worker": 22,
    "worker+body": 6,
    "leader": 8,
    "conductor": 4,
    "redis": 9,
    "node": 4,
    "host": 1,
    "fork server": 2,
    "stop worker": 5,
    "stop leader": 3,
}
#: Longer than the lease of 1.5 s, and than the lead of 2 s.
PAUSE_S = 2.6
#: So long nobody may be without a server.
ASKING_S = 60.0


@dataclass(frozen=True)
class Blow:
    """One planned act. `pick` in [0, 1) chooses among those alive."""

    wait_s: float
    kind: str
    pick: float


@dataclass(frozen=True)
class Kill:
    """One act carried out. `victims`: (job, attempt) that ran in what was hit."""

    at: float
    kind: str
    pid: int
    victims: tuple[tuple[str, int], ...] = ()


def schedule(seed: int, kills: int, mean_gap_s: float, weights: dict[str, int] | None = None) -> list[Blow]:
    """The same seed, the same blows. The first of each kind comes early, so that none is left out of a
    short run.
    """
    rng, weighed = random.Random(seed), weights or WEIGHTS
    kinds = [*weighed, *rng.choices([*weighed], [*weighed.values()], k=max(0, kills - len(weighed)))][:kills]
    rng.shuffle(kinds)
    return [Blow(rng.expovariate(1 / mean_gap_s), kind, rng.random()) for kind in kinds]


class Nemesis:
    def __init__(self, world: ChaosWorld) -> None:
        self.world = world
        self.kills: list[Kill] = []
        #: What holds for a while (a process that stands still) → when it ends, and by what.
        self._lasting: dict[Hashable, tuple[float, Callable[[], object]]] = {}

    def run(self, blows: list[Blow], is_over: Callable[[], bool] = lambda: False) -> None:
        """Strike until the schedule or the work is at its end; what has no supervisor is started again."""
        for blow in blows:
            self._rest(blow.wait_s)
            if is_over():
                break
            self.strike(blow)
        self.wake_all()

    def wake_all(self) -> None:
        for _, end in self._lasting.values():
            end()
        self._lasting = {}

    def for_a_while(self, what: Hashable, seconds: float, end: Callable[[], object]) -> bool:
        """False: it lasts already."""
        if what in self._lasting:
            return False
        self._lasting[what] = (time.monotonic() + seconds, end)
        return True

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for what in [what for what, (at, _) in self._lasting.items() if at <= now]:
                self._lasting.pop(what)[1]()
            self.world.mend()
            if now >= until:
                return
            time.sleep(min(0.02, until - now))

    def strike(self, blow: Blow) -> None:
        match blow.kind:
            case "body" | "worker" | "worker+body" | "stop worker":
                self._worker(blow)
            case "leader" | "conductor" | "stop leader":
                self._conductor(blow)
            case "node" | "host":
                self._node(blow)
            case "fork server":
                self._fork_server(blow)
            case _:
                self._redis()

    def _worker(self, blow: Blow) -> None:
        """Of the workers, busy ones first: a kill of an idle one proves little."""
        workers = self.world.of_kind("worker")
        busy = {held["worker"]: held for held in self.world.active() if held.get("worker")}
        chosen = _pick([w for w in workers if w.name in busy] or workers, blow.pick)
        if chosen is None:
            return
        held = busy.get(chosen.name)
        victims = ((held["job_id"], held["attempt"]),) if held else ()
        bodies = [p.pid for p in self.world.of_kind("body") if parent_of(p.pid) == chosen.pid]
        at = time.time()
        if blow.kind == "stop worker":
            if self._pause(chosen.pid):
                self.kills.append(Kill(at, blow.kind, chosen.pid, victims))
            return
        if "body" in blow.kind:
            for pid in bodies:
                send(pid, signal.SIGKILL)
        if "worker" in blow.kind:
            send(chosen.pid, signal.SIGKILL)
        self.kills.append(Kill(at, blow.kind, chosen.pid, victims))

    def _conductor(self, blow: Blow) -> None:
        leader = self._leader()
        conductors = [p.pid for p in self.world.of_kind("conductor")]
        others = [pid for pid in conductors if pid != leader]
        pid = leader if "leader" in blow.kind else (others or [None])[int(blow.pick * len(others or [0]))]
        if pid is None or pid not in conductors:
            return
        at = time.time()
        if blow.kind == "stop leader":
            if not self._pause(pid):
                return
        else:
            send(pid, signal.SIGKILL)
        self.kills.append(Kill(at, blow.kind, pid))

    def _leader(self) -> int | None:
        """The owner's name ends in its pid. Without a server the dead are started and the stopped woken:
        where all are, nobody else would start one."""
        until = time.monotonic() + ASKING_S
        while True:
            try:
                text: bytes | None = self.world.asked(lambda r: r.get("conductor:leader"), limit_s=0)
                break
            except RedisError:
                if time.monotonic() > until:
                    raise
                self._rest(0.05)
        number = (text or b"").decode().rpartition("-")[2]
        return int(number) if number.isdigit() else None

    def _node(self, blow: Blow) -> None:
        """A node alone, or («host») with its workers and their bodies, all at once."""
        node = _pick(self.world.of_kind("node"), blow.pick)
        if node is None:
            return
        workers = (
            [w for w in self.world.of_kind("worker") if node.pid in (parent_of(w.pid), node_of(w.pid))]
            if blow.kind == "host"
            else []
        )
        names = {w.name for w in workers}
        held = tuple((h["job_id"], h["attempt"]) for h in self.world.active() if h.get("worker") in names)
        at = time.time()
        for pid in (node.pid, *(w.pid for w in workers)):
            send(pid, signal.SIGKILL)
        self.kills.append(Kill(at, blow.kind, node.pid, held))

    def _fork_server(self, blow: Blow) -> None:
        """Its copies are told to leave, and finish what they have in hand."""
        server = _pick(self.world.of_kind("fork server"), blow.pick)
        if server is not None and send(server.pid, signal.SIGKILL):
            self.kills.append(Kill(time.time(), blow.kind, server.pid))

    def _redis(self) -> None:
        pid = self.world.valkey_pid()
        if pid is not None and send(pid, signal.SIGKILL):
            self.kills.append(Kill(time.time(), "redis", pid))

    def _pause(self, pid: int) -> bool:
        if pid in self._lasting or not send(pid, signal.SIGSTOP):
            return False
        return self.for_a_while(pid, PAUSE_S, lambda: send(pid, signal.SIGCONT))


def _pick(those: list[Proc], pick: float) -> Proc | None:
    return those[int(pick * len(those))] if those else None


def node_of(worker: int) -> int:
    """The fork server's parent, where it made that worker."""
    return parent_of(parent_of(worker))


def parent_of(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
