"""A mixed run on simulated hosts, by the very loop, on the ledger's twin and a clock moved by hand: what made
`tests/data/mixed_run.jsonl.xz`. `python tests/mixed_run.py FILE` plays it and writes a recording of its
ticks; `python tests/mixed_run.py --again` keeps what was seen then, and writes how it is decided now.

Four hosts come, go stale, drain and lose disks; five backlogs with shares, priorities, chains of files and
waits; jobs fail in all ways that matter, out-of-memories raise needs, receipts teach, breakers open, APIs
refuse. It is not made again when names change (`tests/recorded.py` says how that is written down); only when
the decision is to be another.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loguru import logger
from mixed_run_hosts import RATES, TASKS, MixedHost, MixedWorker, hosts
from mixed_run_jobs import MixedJobs
from mixed_run_rules import LIMITS, OTHER_RULES, USUAL
from mixed_run_story import script
from msgspec.structs import replace
from recorded import FILE, RecordedTick, difference, read
from recording_writer import RecordingWriter

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.rates.rate_store import MemoryRateStore
from conductor.adapters.rates.rates import LimitsRates
from conductor.analysis.replay.recording_frames import canonical
from conductor.analysis.simulation.rates import ManualLog
from conductor.base.settings.sections import Timing
from conductor.core.admission.admission import decide
from conductor.core.capacity.cluster import Free
from conductor.core.failures.retry import after_failure
from conductor.core.needs.caps import within
from conductor.core.needs.escalation import Raised, as_reserved, instead, raised
from conductor.core.needs.estimates import LearnedNeeds
from conductor.core.needs.learned_amounts import largest
from conductor.core.needs.running_usage import held_by_kind
from conductor.core.needs.samples import Memory
from conductor.model.calls import Call, Trouble
from conductor.model.causes import Cause
from conductor.model.decision import Decision
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import Begun, HeldReport, Started, WorkerTurn
from conductor.model.limits import Limits
from conductor.model.receipt import AdmittedNeeds, OutputFact, Receipt, Usage
from conductor.model.snapshot import BacklogUse, Candidate, Reservation, Snapshot
from conductor.tick.loop import Conductor

BEGAN = 1_700_000_000.0
STEP_S = 1.0
STEPS = 345
LEASE_S = 6.0
TIMING = Timing(tick_s=1.0, lease_s=LEASE_S, leader_ttl_s=60.0)


class MixedWorld:
    """The clock, the ledger, the hosts, and what befalls the jobs. `draw` decides what is left to chance."""

    def __init__(self, seed: int = 5) -> None:
        self.draw = random.Random(seed)
        self.clock = ManualClock(BEGAN)
        self.ledger = memory_ledger(self.clock)
        self.rates = LimitsRates(
            ManualLog(self.clock),
            MemoryRateStore(),
            self.ledger.calls,
            RATES,
            self.clock,
            prices={"dear": 1e-5},
        )
        self.learned = LearnedNeeds(Memory(), TASKS)
        self.jobs = MixedJobs(self.ledger)
        self.lying: dict[str, dict[str, int]] = {}
        self.ticks: list[RecordedTick] = []
        self.conductor = Conductor(
            self.ledger,
            self.rates,
            LIMITS,
            TIMING,
            "one",
            record=self.note,
            teach=self.teach,
            overrides=lambda job: self.jobs.specs[job.job_id].retry or {},
            guard=lambda: self.why_not,
        )
        self.hosts = {host.name: host for host in hosts()}
        #: What the endpoint «shaky» suffers from; None: it is well.
        self.trouble: Trouble | None = None
        #: Why the conductor starts nothing.
        self.why_not: str | None = None

    @property
    def now(self) -> float:
        return self.clock.now()

    @property
    def at(self) -> int:
        return round(self.now - BEGAN)

    # ── what the loop is given ────────────────────────────────────────────────────────────────────────────

    def note(
        self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits, decision: Decision
    ) -> None:
        found = decide(snapshot, candidates, limits)
        holds = tuple(
            replace(h, since=f.since, crowded_since=f.crowded_since, closed_since={}, lost_s={})
            for h, f in zip(decision.hold, found.hold, strict=True)
        )
        if words := difference(canonical(replace(decision, hold=holds)), canonical(found)):
            raise AssertionError(f"what is kept from tick to tick decides otherwise at {self.at}: {words}")
        self.ticks.append(RecordedTick(snapshot, tuple(candidates), limits, canonical(found)))
        if self.at % 5 == 0:
            other = replace(limits, **OTHER_RULES[self.at // 5 % len(OTHER_RULES)])
            if self.at % 2:
                # Without chains, other rules hold for files; and as a simulated run has it, what was usual is
                # told.
                snapshot = replace(snapshot, usual=USUAL, chains=(), order=())
            answer = canonical(decide(snapshot, candidates, other))
            self.ticks.append(RecordedTick(snapshot, tuple(candidates), other, answer))

    def teach(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """As the live conductor does with what receipts taught."""
        free = Free(snapshot, LIMITS)
        out: list[Candidate] = []
        for candidate in candidates:
            declared = candidate.job_class
            taught = self.learned.taught(declared)
            c = taught.job_class
            c = replace(c, needs=within(declared, c.needs, free)) if taught.is_more else c
            if c.needs.vram_mib and not self.learned.memory.has_success(c.kind or c.task):
                c = replace(c, is_untried=True)
            if c.needs != declared.needs:
                c = replace(c, learned=tuple(instead(declared.needs, c.needs)))
            out.append(replace(candidate, job_class=c))
        return tuple(out)

    # ── one step of the world ─────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        self.clock.advance(STEP_S)
        script(self, self.at)
        for n, host in enumerate(self.hosts.values()):
            if not host.is_silent and (self.at + n) % 2 == 0:
                lying = sum(self.lying.get(host.name, {}).values())
                self.ledger.reports.publish(host.report(lying), ttl_s=40.0)
            for worker in host.workers.values():
                self.work(worker)
            self.remove_files(host)
        self.conductor.tick()

    def remove_files(self, host: MixedHost) -> None:
        if self.at % 7 == 0:
            gone = self.ledger.files.begin_removal(host.name, "scratch", wanted=1 << 50)
            for each in gone:
                self.lying.get(host.name, {}).pop(each.path, None)
            self.ledger.files.gone(host.name, [each.path for each in gone])

    def work(self, worker: MixedWorker) -> None:
        if self.now < worker.is_dead_until or worker.queue in worker.host.dying:
            return
        self.hear(worker)
        if worker.job is not None and self.now >= worker.ends_at:
            self.end(worker)
        if worker.job is None and worker.is_dead_until <= self.now:
            self.take(worker)
        held = [] if worker.job is None else [self.report(worker, worker.job.reservation)]
        (answer,) = self.ledger.attempts.renew(worker.name, LEASE_S, held).answers or ("ok",)
        if answer == "cancel" and worker.job is not None:
            self.fail(worker, "cancelled")
        elif answer == "gone":
            worker.job, worker.holds_mib = None, 0

    def hear(self, worker: MixedWorker) -> None:
        while (word := self.ledger.attempts.next_preloaded(worker.name, 0.0)) is not None:
            successor = getattr(word, "successor", None)
            if not hasattr(word, "predecessor"):
                continue
            begun = Begun(
                **{name: getattr(word, name) for name in ("predecessor", "of_attempt", "job_id", "attempt")}
            )
            if successor is not None and self.draw.random() < 0.7:
                worker.next = (begun, successor)
            else:
                self.turn(worker, not_begun=(begun,))
                worker.next = None

    def report(self, worker: MixedWorker, r: Reservation) -> HeldReport:
        if r.started_at is None or self.now - r.started_at < 2:
            return HeldReport(job_id=r.job_id, attempt=r.attempt)
        rss, disk = r.ram_mib * 3 // 4, sum(r.disk.values()) // 2
        use = Usage(
            vram_mib=worker.holds_mib if r.devices else None, rss_mib=rss, scratch_bytes=disk, cpu_s=3.0
        )
        return HeldReport(job_id=r.job_id, attempt=r.attempt, usage=use, progress=0.5, quiet_s=1.0)

    def turn(self, worker: MixedWorker, **more: Any) -> None:
        worker.turns += 1
        turned = self.ledger.attempts.turn(
            WorkerTurn(
                worker=worker.name, queue=worker.queue, lease_s=LEASE_S, number=f"{worker.turns}", **more
            )
        )
        for started in turned.started:
            self.begin(worker, started)

    def take(self, worker: MixedWorker) -> None:
        news = {"io.touch": 0.004} if self.at > 300 else {}
        self.turn(worker, most=1, budget_s=0.1, is_idle=True, news=news)

    def begin(self, worker: MixedWorker, started: Started) -> None:
        r = started.reservation
        spec, draw = self.jobs.specs[r.job_id], self.draw
        planned = spec.estimate.duration_s if spec.estimate else 6.0
        worker.job, worker.ends_at = started, self.now + max(1.0, planned * draw.uniform(0.6, 1.5))
        worker.devices = r.devices
        worker.holds_mib = round(r.vram_mib * draw.choice((0.5, 0.8, 0.9, 1.2))) if r.devices else 0
        if spec.task == "vision.detect" and r.devices:
            worker.host.warm[worker.queue] = (f"onnx:{spec.args.get('model')}",)
        if draw.random() < 0.02:
            # Killed from outside: nobody renews, and the lease runs out.
            worker.is_dead_until = self.now + LEASE_S + 4
            worker.job, worker.holds_mib = None, 0

    # ── how an attempt ends ───────────────────────────────────────────────────────────────────────────────

    def end(self, worker: MixedWorker) -> None:
        assert worker.job is not None
        r, chance = worker.job.reservation, self.draw.random()
        spec = self.jobs.specs[r.job_id]
        cause: Cause | None = None
        if spec.task == "media.broken" and not (spec.args.get("preset") == "mended" and self.at > 200):
            cause = "task_error"
        elif r.devices and chance < 0.08:
            cause = "cuda_oom"
        elif spec.task == "media.mux" and chance < 0.15:
            cause = "host_oom"
        elif spec.lane is None and chance > 0.985:
            cause = "bad_input"
        elif chance > 0.97:
            cause = "timeout"
        if spec.task.startswith("llm."):
            cause = self.call(r, chance) or cause
        if cause is not None:
            self.fail(worker, cause)
            return
        receipt = self.receipt(worker, None)
        for each in receipt.outputs:
            self.lying.setdefault(worker.host.name, {})[each.path] = each.bytes
        follows, worker.job, worker.holds_mib = worker.next, None, 0
        worker.next = None
        begun = () if follows is None or follows[0].predecessor != r.job_id else (follows[0],)
        self.turn(worker, done=(receipt,), begun=begun, most=1, budget_s=0.1, is_idle=True)
        self.learned.memory.learn(receipt)

    def call(self, r: Reservation, chance: float) -> Cause | None:
        """What its API answered."""
        asked = self.jobs.specs[r.job_id].needs or TASKS[r.task].needs
        key = next(iter(asked.rates))
        if key == "api" and chance < 0.06:
            told = Call(
                key=key,
                outcome="refused",
                job_id=r.job_id,
                attempt=r.attempt,
                closes_for_s=9.0,
                trouble="limited",
                words="too many requests",
            )
            cause: Cause | None = "rate_limited"
        elif key == "shaky" and self.trouble:
            told = Call(
                key=key,
                outcome="failed",
                job_id=r.job_id,
                attempt=r.attempt,
                trouble=self.trouble,
                words="connection refused",
            )
            cause = "endpoint_unavailable"
        else:
            tokens = 900 + round(600 * chance)
            told = Call(
                key=key,
                outcome="ok",
                job_id=r.job_id,
                attempt=r.attempt,
                tokens=tokens,
                usd=tokens * 1e-5 if key == "dear" else None,
                took_s=1.0,
            )
            cause = None
        self.ledger.calls.tell_calls([told])
        return cause

    def fail(self, worker: MixedWorker, cause: Cause) -> None:
        assert worker.job is not None
        started = worker.job
        r, receipt = started.reservation, self.receipt(worker, cause)
        lesson = Raised()
        if cause in ("cuda_oom", "host_oom", "no_space"):
            live = self.ledger.reports.live()
            kind_mib = held_by_kind(r, self.ledger.handover.reservations(), live)
            most = largest(live, LIMITS)
            lesson = raised(cause, as_reserved(started.job_class, r), receipt.usage, most, kind_mib)
        overrides = self.jobs.specs[r.job_id].retry or {}
        then = after_failure(cause, started.failures, overrides, raised=lesson)
        if isinstance(then, Retry) and then.delay_s > 20:
            then = replace(then, delay_s=20.0)
        self.ledger.attempts.fail(receipt, then)
        self.learned.memory.learn(receipt)
        worker.job, worker.holds_mib, worker.next = None, 0, None

    def receipt(self, worker: MixedWorker, cause: Cause | None) -> Receipt:
        assert worker.job is not None
        r, c = worker.job.reservation, worker.job.job_class
        spec = self.jobs.specs[r.job_id]
        outputs = tuple(OutputFact(path=o.path, bytes=o.bytes, sha256="0" * 64) for o in spec.writes)
        held = worker.holds_mib if r.devices else None
        use = Usage(
            vram_mib=held,
            rss_mib=r.ram_mib * 3 // 4 + 100,
            scratch_bytes=sum(o.bytes for o in spec.writes),
            tokens=1200 if spec.task.startswith("llm") else None,
        )
        return Receipt(
            v=1,
            job_id=r.job_id,
            attempt=r.attempt,
            workflow="w",
            task=r.task,
            outcome="ok" if cause is None else "failed",
            cause=cause,
            message="" if cause is None else f"it broke: {cause}",
            started_at=r.started_at or self.now,
            ended_at=self.now,
            node=r.node,
            worker=worker.name,
            devices=r.devices,
            outputs=outputs if cause is None else (),
            usage=use,
            code_version=r.code,
            asked=AdmittedNeeds(
                kind=c.kind,
                size=c.size,
                duration_s=c.duration_s,
                needs=c.needs,
                writes_bytes=sum(c.writes.values()),
                vram_mib=r.vram_mib or None,
                ram_mib=r.ram_mib or None,
            ),
        )


def play(steps: int = STEPS, seed: int = 5) -> MixedWorld:
    world = MixedWorld(seed)
    for _ in range(steps):
        world.step()
    return world


def again() -> list[RecordedTick]:
    """The recorded snapshots, decided as they are now; each goes on from what the one before left."""
    ticks, used = list[RecordedTick](), dict[str, BacklogUse]()
    for tick in read():
        seen = tick._replace(snapshot=replace(tick.snapshot, used=used))
        ticks.append(seen._replace(decision=decide(*seen[:3])))
        used = ticks[-1].decision.used
    return ticks


def main() -> None:
    logger.remove()
    is_again = sys.argv[1] == "--again"
    ticks, path = (again(), FILE) if is_again else (play().ticks, Path(sys.argv[1]))
    writer = RecordingWriter()
    for tick in ticks:
        writer.add(tick)
    writer.write(path)
    sys.stdout.write(f"{len(ticks)} ticks, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
