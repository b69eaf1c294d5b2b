"""The nemesis on hosts that are really apart: besides what it kills, it pulls cables and sets clocks."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from tests.chaos.nemesis import Blow, Kill, Nemesis
from tests.hosts.hosts_world import HostsWorld
from tests.hosts.network import Host, Way

WEIGHTS: dict[str, int] = {
    "body": 20,
    "worker": 16,
    "worker+body": 6,
    "leader": 6,
    "conductor": 3,
    "redis": 4,
    "node": 5,
    "host": 6,
    "fork server": 2,
    "stop worker": 5,
    "stop leader": 3,
    "cut both": 8,
    "cut in": 5,
    "cut out": 5,
    "clock": 6,
}
#: So many leases a cable is out: others have long taken what that host had in hand.
CUT_LEASES = 1.5
#: By how much a clock is wrong for a while.
WRONG_S = (-3 * 86_400, -7_200, -400, 90, 3_600, 2 * 86_400)
WRONG_FOR_S = 8.0


class HostsNemesis(Nemesis):
    def __init__(self, world: HostsWorld) -> None:
        super().__init__(world)
        self._hosts = world

    def strike(self, blow: Blow) -> None:
        host = self._hosts.hosts[int(blow.pick * len(self._hosts.hosts))]
        match blow.kind.split():
            case ["host"]:
                self._power(host)
            case ["cut", "both" | "in" | "out" as way]:
                self._cut(host, way)
            case ["clock"]:
                self._clock(host, WRONG_S[int(blow.pick * 1000) % len(WRONG_S)])
            case _:
                super().strike(blow)

    def _in_hand(self, host: Host) -> tuple[tuple[str, int], ...]:
        held = (held for held in self.world.active() if held.get("node") == host.name and held.get("worker"))
        return tuple((each["job_id"], each["attempt"]) for each in held)

    def _power(self, host: Host) -> None:
        """All at once; who looks after its services starts them again."""
        victims, at = self._in_hand(host), time.time()
        for proc in self._hosts.processes_of(host):
            with suppress(OSError):
                os.kill(proc.pid, signal.SIGKILL)
        self.kills.append(Kill(at, "host", 0, victims))

    def _cut(self, host: Host, way: Way) -> None:
        seconds = CUT_LEASES * self._hosts.settings.timing.lease_s
        if not self.for_a_while(("cut", host.name), seconds, lambda: self._hosts.network.heal(host)):
            return
        at, victims = time.time(), self._in_hand(host)
        self._hosts.network.cut(host, way)
        self.kills.append(Kill(at, f"cut {way}", 0, victims))

    def _clock(self, host: Host, ahead_s: int) -> None:
        if self.for_a_while(("clock", host.name), WRONG_FOR_S, lambda: host.set_ahead(0)):
            host.set_ahead(ahead_s)
            self.kills.append(Kill(time.time(), "clock", 0))
