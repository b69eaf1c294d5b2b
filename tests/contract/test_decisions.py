"""One decision: `simulate` with the state it keeps, the live conductor afresh, and replay on the same
ticks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import a_class, a_device, a_report, a_spec, memory
from kept_state import Kept
from msgspec.structs import replace

from conductor.adapters.rates.rates import memory_rates
from conductor.analysis.replay.recording import Files, Recorder, read_ticks
from conductor.analysis.replay.recording_frames import Tick, canonical
from conductor.analysis.replay.replay import replay
from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.policies import limits_of
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.base.settings.sections import Timing
from conductor.core.admission.gate_ledger import shared_out
from conductor.core.admission.incremental import Keeping
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.decision import Decision
from conductor.model.ledger_entries import Entry
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass
from conductor.model.spec import to_line
from conductor.ports import Ledger
from conductor.tick.loop import Conductor
from workflows.trace.forms import specs

TRACES = Path(__file__).resolve().parents[2] / "benchmarks" / "traces"
CATALOGUE = load_catalogue()
SMALL = cluster.NodeKind(
    name="small",
    count=3,
    cpu_milli=32_000,
    ram_mib=131_072,
    devices=(cluster.DeviceKind(vram_mib=24_576),) * 2,
)
LARGE = cluster.NodeKind(
    name="large", cpu_milli=64_000, ram_mib=262_144, devices=(cluster.DeviceKind(vram_mib=49_152),) * 4
)


class Recorded(World):
    """Writes down each tick as a live conductor would see it, with what the kept state decided."""

    files: Files

    def _tick(self) -> Decision:
        snapshot = self.full_snapshot()
        candidates = tuple(line.as_candidate() for line in self._lines.values())
        self.state.explains = True
        decision = super()._tick()
        self.files.append(
            Tick(snapshot=snapshot, candidates=candidates, limits=self.limits, decision=decision)
        )
        return decision


def simulated(trace: str, policy: str, kinds: tuple[cluster.NodeKind, ...], folder: Path) -> World:
    world = Recorded(
        Workload(specs(TRACES / trace), CATALOGUE, False), cluster.reports(kinds), limits_of(policy)
    )
    world.files = Files(folder, 64 << 20, full_every_s=0)
    world.run()
    world.files.flush()
    world.files.close()
    return world


@pytest.mark.parametrize("policy", ["auto", "first_fit", "best_fit", "tightest", "shortest"])
def test_what_simulate_decided_with_its_kept_state_is_what_the_recorded_snapshot_gives(
    policy: str, tmp_path: Path
) -> None:
    simulated("onehost_default_200.jsonl", policy, (SMALL, LARGE), tmp_path)

    found = replay(read_ticks(tmp_path))

    assert found.difference is None
    assert found.ticks > 150


def test_so_it_is_where_files_live_until_their_last_reader_ends(tmp_path: Path) -> None:
    kind = replace(LARGE, devices=(), cpu_milli=16_000, scratch_bytes=132_800_000)
    simulated("wf/montage-chameleon-2mass-01d-001.json", "auto", (kind,), tmp_path)

    found = replay(read_ticks(tmp_path))

    assert found.difference is None
    assert found.ticks > 20


def test_what_is_usual_is_part_of_the_recorded_snapshot(tmp_path: Path) -> None:
    simulated("onehost_default_200.jsonl", "auto", (SMALL, LARGE), tmp_path)
    forgetful = [replace(tick, snapshot=replace(tick.snapshot, usual=())) for tick in read_ticks(tmp_path)]

    assert replay(forgetful).difference is not None, "or it needs not be recorded"


# ── live, on real Redis ───────────────────────────────────────────────────────────────────────────────────

CLASSES = (
    a_class(id="class-big", vram_mib=16_000, cpu=1.0, duration_s=30.0),
    a_class(id="class-small", vram_mib=5_000, cpu=1.0, duration_s=8.0),
    a_class("cpu", id="class-cpu", task="media.probe", cpu=3.0, ram_mib=4_000, duration_s=4.0),
    a_class("io", id="class-io", task="files.publish", writes={"scratch": 3 << 30}),
    a_class("cloud", id="class-cloud", backlog="c", task="llm.annotate", duration_s=2.0),
)
LIMIT_CASES = [
    Limits(),
    Limits(order="auto", place="least_loss"),
    Limits(order="auto", place="tightest", depth={"gpu": 1, "cpu": 3, "io": 1, "cloud": 5}),
]


def dispatch(ledger: Ledger, job_class: JobClass, count: int) -> None:
    made = [a_spec(n, task=job_class.task, args={"n": n, "of": job_class.id}) for n in range(count)]
    ledger.intake.put(
        job_class.backlog, [Entry(job_id=s.id, line=to_line(s), job_class=job_class) for s in made]
    )


def publish(ledger: Ledger, reports: Sequence[NodeReport]) -> None:
    for report in reports:
        ledger.reports.publish(replace(report, sent_at=ledger.bell.now()), ttl_s=60)


def step(ledger: Ledger, draw: random.Random) -> None:
    """Some workers start what was handed to them, some end."""
    for r in ledger.handover.reservations():
        if r.state == "admitted" and draw.random() < 0.6:
            ledger.attempts.start(r.job_id, r.attempt, f"w-{r.job_id}", 60)
        elif r.state == "running" and draw.random() < 0.4:
            now = ledger.bell.now()
            ledger.attempts.accept(
                Receipt(
                    v=1,
                    job_id=r.job_id,
                    attempt=r.attempt,
                    workflow="w",
                    task=r.task,
                    outcome="ok",
                    started_at=now,
                    ended_at=now,
                    node=r.node,
                    worker=r.worker or "w",
                )
            )


def live_run(ledger: Ledger, limits: Limits, folder: Path, ticks: int = 400) -> None:
    """Several lanes and hosts until all is done; reports change now and then, and two classes come later."""
    draw = random.Random(7)
    reports = [
        a_report("node1", devices=2, workers=2),
        a_report("node2", devices=(a_device(0, vram_total_mib=12_000),), workers=1, cpu_count=6.0),
    ]
    publish(ledger, reports)
    for job_class in CLASSES[:3]:
        dispatch(ledger, job_class, 25)
    with Recorder(folder, 64 << 20, full_every_s=0) as recorder:
        timing = Timing(tick_s=0.05, leader_ttl_s=30, lease_s=30)
        conductor = Conductor(
            ledger, memory_rates(ledger.calls, {}), limits, timing, "one", record=recorder.record
        )
        for n in range(ticks):
            conductor.tick()
            step(ledger, draw)
            if n == 15:
                for job_class in CLASSES[3:]:
                    dispatch(ledger, job_class, 20)
            if n % 20 == 19:
                publish(ledger, [replace(r, measured=memory(r.ram_total_mib, 60_000 - n)) for r in reports])
            counts = ledger.tallies.counts()
            if n > 15 and not counts["waiting"] + counts["admitted"] + counts["running"]:
                break
    assert ledger.tallies.counts()["done"] == 115


@pytest.mark.parametrize("limits", LIMIT_CASES, ids=["default", "auto", "depths"])
def test_live_ticks_of_several_lanes_are_decided_alike_kept_and_afresh(
    ledger: Ledger, limits: Limits, tmp_path: Path
) -> None:
    live_run(ledger, limits, tmp_path)
    ticks = list(read_ticks(tmp_path))

    assert replay(ticks).difference is None
    kept, keeping = Kept(), Keeping()
    for tick in ticks:
        assert tick.is_full and canonical(kept.decide(tick)) == tick.decision
        decision = keeping.decide(tick.snapshot, tick.candidates, tick.limits)
        assert canonical(decision) == tick.decision
        assert keeping.shared() == shared_out(tick.snapshot, decision.admit, tick.limits)
    assert keeping.begun < len(ticks) / 10, "or nothing is kept"
    lanes = {a.reservation.lane for tick in ticks for a in tick.decision.admit}
    assert lanes == {"gpu", "cpu", "io", "cloud"}
    assert sum(tick.skipped for tick in ticks) == 0
    if limits.place == "tightest":
        assert kept.followed > len(ticks) / 5
