"""Pilots in a world without processes: an engine on a clock by hand, nodes that come up as their pilots
start, and conductors that are killed and come again.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from random import Random

import msgspec
from ledger_scenes import a_class, an_entry
from lying_engine import KilledAt, KilledHere, LyingEngine, Mortal

from conductor.adapters.engines.local import LocalEngine
from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.app.engines.pilot_round import PilotRound
from conductor.base.errors import Unreachable
from conductor.model.decision import GateLedger, Hold, Verdict
from conductor.model.engine import EngineResources, Submission
from conductor.model.pilot import Pilot, PilotRules, PilotShape
from conductor.model.reason import Reason
from conductor.model.report import NodeReport
from conductor.model.spec import LANES

PREFIX = "cdr-abc123-"
SHAPE = PilotShape(lanes=LANES, cpus=1, ram_mib=4096, time_s=3600.0)
LOOK_S = 2.0


class PilotProcess:
    """What the engine started: it claims its key, reports while it lives, and goes when it is told to."""

    def __init__(self, world: PilotWorld, key: str, dies_at: float | None) -> None:
        self.world, self.key, self.pid = world, key, 1
        self.up_at = world.clock.now() + world.random.choice((0.0, 3.0, 20.0))
        self.dies_at = dies_at
        self.code: int | None = None
        self.is_up = False

    def turn(self) -> None:
        now = self.world.clock.now()
        if self.code is not None:
            return
        if self.dies_at is not None and now >= self.dies_at:
            self._end(-9)
        elif not self.is_up and now >= self.up_at:
            if self.world.ledger.pilots.claim(self.key, f"{id(self)}"):
                self._end(1)
            else:
                self.is_up = True
                self.world.ups.append(self.key)
        if self.is_up and self.code is None:
            self.world.report(self.key)

    def poll(self) -> int | None:
        self.turn()
        return self.code

    def send_signal(self, number: int, /) -> None:
        self._end(0 if number == signal.SIGTERM else -number)

    def _end(self, code: int) -> None:
        if self.is_up:
            self.world.ledger.reports.withdraw(node_of(self.key))
        self.is_up, self.code = False, code


class PilotWorld:
    def __init__(self, random: Random, lie: str = "", *, most: int = 3, young: bool = False) -> None:
        self.random, self.most, self.young = random, most, young
        self.clock = ManualClock(1_700_000_000.0)
        self.ledger = memory_ledger(self.clock)
        self.processes: list[PilotProcess] = []
        self.ups: list[str] = []
        self.inner = LocalEngine(
            cpus=most + 2, ram_mib=1 << 20, environment={}, launch=self._launch, now=self.clock.now
        )
        self.engine = LyingEngine(self.inner, lie, random)
        self.owner, self.epoch = 0, 0
        self.waiting = 0
        self.ledger.identity.generation("g1")

    def _launch(self, submission: Submission, environment: Mapping[str, str]) -> PilotProcess:
        dies = self.clock.now() + 1.0 if self.young else None
        process = PilotProcess(self, submission.argv[-1], dies)
        self.processes.append(process)
        return process

    def report(self, key: str) -> None:
        report = NodeReport(node=node_of(key), host="h", pilot=key, sent_at=self.clock.now())
        self.ledger.reports.publish(report, 10.0)

    def put_work(self, jobs: int) -> None:
        self.waiting = jobs
        if jobs:
            self.ledger.intake.put("night", [an_entry(f"job-{n:04d}", a_class(duration_s=600.0))
                                             for n in range(jobs)])  # fmt: skip

    def conductor(self, death: KilledAt | None = None) -> PilotRound:
        """A fresh process that leads."""
        self.ledger.leadership.resign(f"c{self.owner}")
        self.owner += 1
        self.clock.advance(3.0)
        epoch = self.ledger.leadership.lead(f"c{self.owner}", 1e9)
        assert epoch is not None
        self.epoch = epoch
        closed = Verdict(gate="report", passed=False, reason=Reason.NO_NODE)
        hold = Hold(class_id="c1", backlog="night", task="media.cut", lane="cpu", waiting=self.waiting,
                    verdicts=(closed,))  # fmt: skip
        holds = (hold,) if self.waiting else ()
        self.ledger.gate_record.record_gates(epoch, GateLedger(at=self.clock.now(), holds=holds))
        death = death or KilledAt(None, is_after=False)
        ledger = msgspec.structs.replace(self.ledger, pilots=Mortal(self.ledger.pilots, death))
        return PilotRound(
            "lab",
            Mortal(self.engine, death),  # pyright: ignore[reportArgumentType]
            PilotRules(max=self.most, idle_s=30.0, shape=SHAPE),
            ledger,
            prefix=PREFIX,
            submission=a_submission,
            headroom={},
        )

    def look(self, conductor: PilotRound, times: int = 1) -> bool:
        """False: it was killed."""
        for _ in range(times):
            self.clock.advance(LOOK_S)
            for process in self.processes:
                process.turn()
            try:
                conductor.look(self.epoch)
            except Unreachable:
                continue
            except KilledHere:
                return False
        return True

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        assert all(count == 1 for count in self.engine.submitted.values()), "a submission was made twice"
        assert len(self.ups) == len(set(self.ups)), "two nodes came up as one pilot"
        up = [process.key for process in self.processes if process.is_up]
        assert len(up) <= self.most, f"{up} are up, of at most {self.most}"

    def active(self) -> set[str]:
        jobs = self.inner.watch().jobs
        return {key for key, job in jobs.items() if job.state in ("pending", "running")}

    def check_settled(self, wanted: int) -> None:
        """The world is honest again, and has had its time."""
        known = self.ledger.pilots.states().pilots
        live = {key for key, pilot in known.items() if pilot.is_live}
        assert self.active() == live, "the engine has others than those that are known: one is lost"
        assert len(live) == wanted, f"{len(live)} instead of {wanted}: {known}"
        assert {process.key for process in self.processes if process.is_up} == live


def a_submission(pilot: Pilot) -> Submission:
    return Submission(argv=("pilot", pilot.key), folder="/", resources=EngineResources(ram_mib=64),
                      time_limit_s=SHAPE.time_s)  # fmt: skip


def node_of(key: str) -> str:
    return "_".join(key.rsplit("-", 2)[-2:])
