"""Random chains on a small disk through the live conductor and the ledger: attempts end, fail and are lost in
any order, the disk is measured late, files go late. Never over the disk, never stuck where the serial order
fits."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from builders import a_volume
from graphs import a_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.rates.rates import memory_rates
from conductor.base.errors import ManifestError
from conductor.base.settings.sections import Root, Timing
from conductor.core.chains.feasible_order import least_disk
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import FileRules, dispatch
from conductor.dispatch.file_chains import FileWork
from conductor.model.chains import Chain
from conductor.model.failure_outcome import Retry
from conductor.model.limits import BreakerRule, Limits
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec
from conductor.node.cleanup.disk_room import wanted
from conductor.record import manifest as manifests
from conductor.tick.loop import Conductor

CATALOGUE = load_catalogue()
NODE = "host"
ROOTS = {"scratch": Root(path=Path(), headroom_bytes=0)}
#: Failures here are dice, not a bad kind of jobs.
NO_BREAKER = BreakerRule(failures=0)
SAFE = Limits(order="auto", place="least_loss", disk_headroom_bytes={"scratch": 0}, breaker=NO_BREAKER)
PLAIN = replace(SAFE, order="oldest", place="tightest", is_safe=False)
#: So many ticks with nothing going and all known: then nothing will ever go.
PATIENCE = 4


class ScratchNight:
    """One host with a small scratch disk. An attempt is taken to have written all its files as soon as it
    starts.
    """

    def __init__(
        self, specs: list[JobSpec], disk: int, limits: Limits, dice: random.Random, folder: Path
    ) -> None:
        self.specs = {spec.id: spec for spec in specs}
        self.disk = disk
        self.dice = dice
        self.clock = ManualClock(1_700_000_000.0)
        self.ledger = memory_ledger(self.clock)
        self.lying: dict[str, int] = {}
        self.going: dict[str, Reservation] = {}
        self.peak = 0
        manifest = folder / "m.jsonl"
        manifests.write(manifest, specs)
        dispatch(self.ledger, manifest, "b", CATALOGUE, folder / "receipts", files=FileRules())
        self.conductor = Conductor(self.ledger, memory_rates(self.ledger.calls, {}), limits, Timing(), "c1")
        self.report()

    def report(self) -> None:
        # Of what runs, some have written already and some have not.
        begun = sum(self.written(job_id) for job_id in sorted(self.going) if self.dice.random() < 0.5)
        free = self.disk - sum(self.lying.values()) - begun
        volume = a_volume("scratch", total_bytes=self.disk, free_bytes=max(0, free))
        queue = QueueReport(queue="cpu-host", lane="cpu", workers=4)
        now = self.clock.now()
        report = NodeReport(
            node=NODE, host=NODE, sent_at=now, volumes=(volume,), queues=(queue,), cpu_count=4.0
        )
        self.ledger.reports.publish(report, 1e6)

    def written(self, job_id: str) -> int:
        return sum(output.bytes for output in self.specs[job_id].writes)

    def tick(self) -> bool:
        """Did something begin."""
        self.conductor.tick()
        handover, begun = self.ledger.handover, False
        assert isinstance(handover, MemoryHandover)
        while (taken := handover.take("cpu-host", "w")) is not None:
            self.going[taken[0]] = self.ledger.attempts.start(*taken, "w", 1e9).reservation
            begun = True
        assert all(path in self.lying for job_id in self.going for path in self.specs[job_id].reads)
        self.peak = max(self.peak, sum(self.lying.values()) + sum(map(self.written, self.going)))
        return begun

    def one_ends(self) -> None:
        job_id = self.dice.choice(sorted(self.going))
        held = self.going.pop(job_id)
        fate = self.dice.random()
        if fate < 0.15:
            self.ledger.orphans.rescue(job_id, held.attempt, "killed", Retry())
            return
        spec = self.specs[job_id]
        facts = tuple(OutputFact(path=o.path, bytes=o.bytes, sha256="0" * 64) for o in spec.writes)
        receipt = Receipt(
            v=1,
            job_id=job_id,
            attempt=held.attempt,
            workflow="trace",
            task="trace.job",
            node=NODE,
            worker="w",
            started_at=0.0,
            ended_at=1.0,
            outcome="ok" if fate < 0.85 else "failed",
            outputs=facts,
        )
        if receipt.outcome == "failed":
            self.ledger.attempts.fail(receipt, Retry())
            return
        self.lying |= {output.path: output.bytes for output in spec.writes}
        assert self.ledger.attempts.accept(receipt) == "accepted"

    def make_room(self) -> None:
        """As `node.cleanup.disk_room` does: what the gates lack, and no more."""
        there = self.ledger.files.removable(NODE, ["scratch"]).get("scratch", 0)
        assert there <= sum(self.lying.values())
        free = self.disk - sum(self.lying.values()) - sum(map(self.written, self.going))
        if there:
            gates = self.ledger.gate_record.gates()
            self.begin_removal(wanted(gates, NODE, frozenset({"scratch"}), free, there, ROOTS))

    def begin_removal(self, size: int) -> None:
        gone = [fact.path for fact in self.ledger.files.begin_removal(NODE, "scratch", size)]
        for path in gone:
            del self.lying[path]
        self.ledger.files.gone(NODE, gone)

    def run(self) -> int:
        """How many jobs never ran."""
        idle = 0
        while (counts := self.ledger.tallies.counts())["done"] < len(self.specs) and idle < PATIENCE:
            self.clock.advance(self.dice.choice((0.1, 1.0, 3.0)))
            if not self.going or self.dice.random() < 0.6:
                self.make_room()
            if not self.going or self.dice.random() < 0.5:
                self.clock.advance(1.0)
                self.report()
            begun = self.tick()
            idle = 0 if begun or self.going else idle + 1
            if self.going and self.dice.random() < 0.7:
                self.one_ends()
        return len(self.specs) - counts["done"]


def run(specs: list[JobSpec], disk: int, limits: Limits, seed: int) -> tuple[ScratchNight, int]:
    with tempfile.TemporaryDirectory() as folder:
        night = ScratchNight(specs, disk, limits, random.Random(seed), Path(folder))
        return night, night.run()


def chains_of(specs: list[JobSpec]) -> list[Chain]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "m.jsonl"
        manifests.write(manifest, specs)
        return list(FileWork(manifests.check(manifest, CATALOGUE), CATALOGUE, {"scratch"}).chains())


def serial_disk(specs: list[JobSpec]) -> int:
    """On which each chain, one after the other, is known to finish, the results of all others being there."""
    chains = chains_of(specs)
    members = {job.job_id for chain in chains for job in chain.jobs}
    results = [sum(job.stays for job in chain.jobs) for chain in chains]
    alone = sum(output.bytes for spec in specs if spec.id not in members for output in spec.writes)
    most = max((least_disk(chain) - stays for chain, stays in zip(chains, results, strict=True)), default=0)
    return alone + sum(results) + most


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([1.0, 1.05, 1.3, 2.0]))
def test_never_over_the_disk_and_never_stuck_where_the_serial_order_fits(
    seed: int, graphs: int, room: float
) -> None:
    specs = [spec for graph in range(graphs) for spec in a_graph(random.Random(seed + graph), graph)]
    disk = int(serial_disk(specs) * room)

    night, left = run(specs, disk, SAFE, seed)

    assert left == 0
    assert night.peak <= disk
    night.begin_removal(10**18)
    read = {path for spec in specs for path in spec.reads}
    assert {path for path in night.lying if path in read} == set(), "read by all"
    assert {path for spec in specs for o in spec.writes if (path := o.path) not in read} == set(night.lying)


def test_the_plain_rule_gets_stuck_on_the_same_cases_and_is_not_over_the_disk_either() -> None:
    stuck = 0
    for seed in range(25):
        specs = a_graph(random.Random(seed), 0)
        disk = serial_disk(specs)
        assert run(specs, disk, SAFE, seed)[1] == 0
        night, left = run(specs, disk, PLAIN, seed)
        assert night.peak <= disk
        stuck += left > 0

    assert stuck > 3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_a_chain_that_no_disk_holds_is_refused_with_one_that_would_do(seed: int) -> None:
    specs = a_graph(random.Random(seed), 0)
    alone = max(output.bytes for spec in specs for output in spec.writes)
    needed = max((least_disk(chain) for chain in chains_of(specs)), default=0)
    if needed < alone:
        return  # a job of no chain asks for more

    with tempfile.TemporaryDirectory() as folder:
        ledger = memory_ledger(ManualClock(1_700_000_000.0))
        manifest = Path(folder) / "m.jsonl"
        manifests.write(manifest, specs)
        put_report(ledger, needed - 1)
        with pytest.raises(ManifestError) as refusal:
            dispatch(ledger, manifest, "b", CATALOGUE, Path(folder) / "receipts")
        assert any(f"of {needed} bytes would do" in problem for problem in refusal.value.problems)
        put_report(ledger, needed + 7)
        rules = FileRules(headroom={"scratch": 7})
        assert dispatch(ledger, manifest, "b", CATALOGUE, Path(folder) / "receipts", files=rules).new == len(
            specs
        )


def put_report(ledger, disk: int) -> None:
    volume = a_volume("scratch", total_bytes=disk, free_bytes=disk)
    queue = QueueReport(queue="cpu-host", lane="cpu", workers=4)
    ledger.reports.publish(
        NodeReport(node=NODE, host=NODE, volumes=(volume,), queues=(queue,), cpu_count=4.0), 1e6
    )
