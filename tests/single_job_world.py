"""An engine that runs jobs one by one, in a world without processes: the decision itself admits, an engine on
a clock by hand runs `exec`, bodies hold leases, and conductors are killed and come again.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from ledger_scenes import a_class, an_entry, an_id
from lying_engine import KilledAt, KilledHere, LyingEngine, Mortal
from successor_house import NoRates

from conductor.adapters.engines.local import LocalEngine
from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.app.engines.job_round import JobRound
from conductor.base.errors import Fenced, Unreachable
from conductor.core.admission.admission import decide
from conductor.core.admission.queue_depth import depths
from conductor.core.pilots.refused_requests import in_force
from conductor.model.decision import Decision, Hold
from conductor.model.engine import EngineResources, Submission
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import HeldReport, JobView
from conductor.model.limits import Limits
from conductor.model.pilot import EngineState
from conductor.model.receipt import Receipt
from conductor.model.report import Measure, NodeReport, Obstacle, QueueReport, SingleJobs
from conductor.model.snapshot import Reservation
from conductor.tick.apply import apply
from conductor.tick.observe import observe

PREFIX = "cdr-abc123-"
LOOK_S = 2.0
LEASE_S = 20.0


class Exec:
    """`conductor exec JOB --attempt N`, as the engine started it: takes the lease, works, publishes, goes."""

    def __init__(self, world: SingleJobWorld, job_id: str, attempt: int) -> None:
        self.world, self.job_id, self.attempt, self.pid = world, job_id, attempt, 1
        random = world.random
        self.begins_at = world.clock.now() + random.choice(world.starts)
        self.seconds = random.choice((1.0, 10.0, 60.0))
        self.dies_at = self.begins_at + random.uniform(0.0, 30.0) if random.random() < world.deaths else None
        self.code: int | None = None
        self.ends_at: float | None = None
        self.worker = f"w{len(world.bodies)}"

    def turn(self) -> None:
        now = self.world.clock.now()
        if self.code is not None or now < self.begins_at:
            return
        if self.dies_at is not None and now >= self.dies_at:
            self._end(-9)
        elif self.ends_at is None:
            self._start(now)
        elif now >= self.ends_at:
            self._accept()
        else:
            self._renew()

    def _start(self, now: float) -> None:
        if self.world.is_broken:
            return self._end(1)  # no Python there, or no way to Redis
        try:
            self.world.ledger.attempts.start(self.job_id, self.attempt, self.worker, LEASE_S)
        except Fenced:
            return self._end(1)
        self.world.runs(self)
        self.ends_at = now + self.seconds
        return None

    def _accept(self) -> None:
        receipt = Receipt(v=1, job_id=self.job_id, attempt=self.attempt, workflow="w", task="media.cut",
                          outcome="ok", message="", started_at=1.0, ended_at=2.0, node="lab",
                          worker=self.worker)  # fmt: skip
        if self.world.ledger.attempts.accept(receipt) == "accepted":
            self.world.accepted[self.job_id] += 1
        self._end(0)

    def _renew(self) -> None:
        held = HeldReport(job_id=self.job_id, attempt=self.attempt)
        answer = self.world.ledger.attempts.renew(self.worker, LEASE_S, [held])
        if answer.answers[0] in ("gone", "cancel"):
            self._end(130)

    def poll(self) -> int | None:
        self.turn()
        return self.code

    def send_signal(self, number: int, /) -> None:
        self._end(130 if number == signal.SIGTERM else -number)

    def _end(self, code: int) -> None:
        self.code = code
        self.world.running.pop((self.job_id, self.attempt), None)


class SingleJobWorld:
    def __init__(
        self,
        random: Random,
        lie: str = "",
        *,
        most: int = 3,
        cores: int = 0,
        deaths: float = 0.1,
        share: float = 0.4,
    ) -> None:
        """`cores`: of the engine, where it has not one for each of the jobs that it may be given."""
        self.random, self.most, self.deaths = random, most, deaths
        self.clock = ManualClock(1_700_000_000.0)
        self.ledger = memory_ledger(self.clock)
        self.single = SingleJobs(most=most, cpus=1, ram_mib=4096, time_s=3600.0)
        self.bodies: list[Exec] = []
        #: (job, attempt) → the body that works, and job → how many were accepted.
        self.running: dict[tuple[str, int], Exec] = {}
        self.accepted = Counter[str]()
        self.is_broken = False
        #: How long it may take from the engine's start until a body takes its lease.
        self.starts: tuple[float, ...] = (0.0, 1.0, 5.0)
        self.inner = LocalEngine(
            cpus=cores or most, ram_mib=1 << 20, environment={}, launch=self._launch, now=self.clock.now
        )
        self.engine = LyingEngine(self.inner, lie, random, share=share)
        self.owner, self.epoch = 0, 0
        self.jobs: list[str] = []
        self.why_not = ""
        self.decision = Decision(now=0.0)
        self.ledger.identity.generation("g1")

    def _launch(self, submission: Submission, environment: Mapping[str, str]) -> Exec:
        body = Exec(self, submission.argv[1], int(submission.argv[2]))
        self.bodies.append(body)
        return body

    def put_work(self, jobs: int) -> None:
        names = [f"job-{n:04d}" for n in range(jobs)]
        self.jobs = [an_id(name) for name in names]
        self.ledger.intake.put("night", [an_entry(name, a_class(duration_s=10.0)) for name in names])

    def runs(self, body: Exec) -> None:
        others = [one for (job_id, _), one in self.running.items() if job_id == body.job_id]
        assert not others, f"two bodies of {body.job_id} at once"
        self.running[body.job_id, body.attempt] = body

    def report(self, state: EngineState, now: float) -> None:
        self.why_not = why_not = state.why_not
        closed = (Obstacle(gate="engine", words=why_not, figure=0.0, opens_at=0.0, unit="", since=now),)
        memory = Measure(total=1 << 20, free=1 << 20)
        self.ledger.reports.publish(
            NodeReport(node="lab", host="lab", sent_at=now, cpu_count=float(self.most),
                       measured={"ram": memory}, obstacles=closed if why_not else (),
                       queues=(QueueReport(queue="cpu-lab", lane="cpu", workers=1),),
                       single_jobs=msgspec.structs.replace(self.single, refused=in_force(state, now))),
            10.0,
        )  # fmt: skip

    def conductor(self, death: KilledAt | None = None) -> JobRound:
        """A fresh process that leads."""
        self.ledger.leadership.resign(f"c{self.owner}")
        self.owner += 1
        self.clock.advance(3.0)
        epoch = self.ledger.leadership.lead(f"c{self.owner}", 1e9)
        assert epoch is not None
        self.epoch = epoch
        death = death or KilledAt(None, is_after=False)
        ledger = msgspec.structs.replace(
            self.ledger,
            pilots=Mortal(self.ledger.pilots, death),
            orphans=Mortal(self.ledger.orphans, death),
        )
        return JobRound(
            "lab",
            Mortal(self.engine, death),  # pyright: ignore[reportArgumentType]
            self.single,
            ledger,
            prefix=PREFIX,
            submission=a_submission,
            report=self.report,
        )

    def tick(self) -> None:
        """The leader's decision, and what nobody runs any more."""
        for orphan in self.ledger.orphans.orphans(10.0):
            self.ledger.orphans.rescue(orphan.job_id, orphan.attempt, "lost", Retry(delay_s=0.0))
        snapshot, candidates = observe(self.ledger, NO_RATES)
        deep = depths(snapshot.nodes, snapshot.reservations, candidates, {}, Limits())
        self.decision = decide(msgspec.structs.replace(snapshot, deep=deep), candidates, LIMITS)
        apply(self.ledger, NO_RATES, self.epoch, self.decision)

    def held(self, class_id: str) -> Hold:
        """Why the jobs of a class stay, by the last tick."""
        return next(hold for hold in self.decision.hold if hold.class_id == class_id)

    def look(self, conductor: JobRound, times: int = 1) -> bool:
        """False: it was killed."""
        for _ in range(times):
            self.clock.advance(LOOK_S)
            for body in self.bodies:
                body.turn()
            try:
                self.tick()
                conductor.look(self.epoch)
            except Unreachable:
                continue
            except KilledHere:
                return False
            self.check()
        return True

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        assert all(count == 1 for count in self.engine.submitted.values()), "a submission was made twice"
        assert all(count == 1 for count in self.accepted.values()), "a job was done twice"
        held = self.ledger.handover.reservations()
        assert len(held) <= self.most, f"{len(held)} at once, of at most {self.most}"

    def views(self) -> dict[str, JobView]:
        return {job_id: view for job_id in self.jobs if (view := self.ledger.jobs.job(job_id)) is not None}

    def is_done(self) -> bool:
        return all(view.state in ("done", "cancelled") for view in self.views().values())

    def check_settled(self) -> None:
        """The world is honest again, and has had its time."""
        lost = {job_id: view.state for job_id, view in self.views().items() if view.state != "done"}
        assert not lost, f"{lost} of {len(self.jobs)}; {self.why_not}"
        active = [key for key, job in self.inner.watch().jobs.items() if job.state in ("pending", "running")]
        assert not active, f"the engine still has {active}"
        assert not self.ledger.pilots.states().submissions


NO_RATES: Any = NoRates()
LIMITS = Limits()


def a_submission(held: Reservation, job: JobView) -> Submission:
    return Submission(argv=("exec", held.job_id, str(held.attempt)), folder="/",
                      resources=EngineResources(ram_mib=64), time_limit_s=3600.0)  # fmt: skip
