"""What a decision costs: `python benchmarks/tick.py [--scenes host,cluster] [--ticks 15] [--json FILE]`.

A steady state: all devices are full, a few jobs end and as many start between two ticks, and the nodes that
would have reported in that time did. «first» is the worst tick, on an empty cluster. «kept» decides as the
live conductor does, with what it remembers of the tick before; «afresh» from the snapshot alone, as `replay`
does; that both say the same is checked at every tick. The rule «live» is that of the settings for so many
nodes: successors are named, and what each gate has cost is carried on. Figures are CPU milliseconds (wall is
given beside them): a busy machine changes them less.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from conductor.base.gc_pause import uncollected
from conductor.base.settings.limits import live
from conductor.core.admission.admission import decide
from conductor.core.admission.gate_ledger import carried
from conductor.core.admission.incremental import Keeping
from conductor.core.admission.lookahead import ALL_HEADS, FEWEST_HEADS, USUAL_HEADS
from conductor.model.decision import Decision, GateLedger
from conductor.model.limits import Limits
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.snapshot import Candidate, Head, JobClass, Reservation, Snapshot
from conductor.model.spec import Needs

#: Nodes report so often; between two ticks of a busy cluster lies so much.
REPORT_S, STEP_S = 2.0, 0.05
#: Ticks that are not counted: what is made once is made in them.
WARM = 2


class TickScene(NamedTuple):
    name: str
    nodes: int
    devices: int
    classes: int
    waiting: int
    #: Jobs that end between two ticks.
    ends: int


SCENES = (
    TickScene("host, 10 a class", 1, 8, 100, 10, 2),
    TickScene("host, 10,000 a class", 1, 8, 100, 10_000, 2),
    TickScene("cluster", 1000, 8, 1000, 1000, 16),
)
RULES: dict[str, Limits] = {
    "oldest/tightest": Limits(),
    "auto/least_loss": Limits(order="auto", place="least_loss"),
    "live": Limits(
        order="auto",
        place="least_loss",
        aging_s=3600,
        keep_after_s=300,
        overdue_s=43_200,
        has_successors=True,
    ),
}


def rule_of(name: str, scene: TickScene) -> Limits:
    return live(RULES[name], scene.nodes) if name == "live" else RULES[name]


class MovingCluster:
    """A cluster in motion: what is admitted starts at once, some end, some nodes report."""

    def __init__(self, scene: TickScene) -> None:
        self._scene = scene
        self._heads_of_each = max(FEWEST_HEADS, min(USUAL_HEADS, ALL_HEADS // scene.classes))
        self._draw = random.Random(7)
        self._now = 1000.0
        self._next_report = 0
        self._reports = [self._report(i) for i in range(scene.nodes)]
        self._workers = {queue.queue: queue.workers for report in self._reports for queue in report.queues}
        self._going: dict[str, Reservation] = {}
        self._classes = [self._class(i) for i in range(scene.classes)]
        self._begun = [0] * scene.classes
        self._heads: dict[int, tuple[int, tuple[Head, ...]]] = {}
        self._at = {c.id: i for i, c in enumerate(self._classes)}

    def _report(self, i: int) -> NodeReport:
        devices = tuple(
            Device(index=d, uuid=f"{i}-{d}", name="x", vram_total_mib=24_576, vram_used_mib=300)
            for d in range(self._scene.devices)
        )
        disk = {"path": "/", "total_bytes": 10**12, "free_bytes": 5 * 10**11, "is_writable": True}
        gpus = [
            QueueReport(queue=f"gpu-n{i:04}-gpu{d}", lane="gpu", device=f"gpu{d}", workers=2)
            for d in range(self._scene.devices)
        ]
        return NodeReport(
            node=f"n{i:04}",
            host=f"n{i:04}",
            sent_at=self._now - REPORT_S * self._draw.random(),
            devices=devices,
            volumes=tuple(Volume(root=root, filesystem=root, **disk) for root in ("scratch", "published")),  # pyright: ignore[reportArgumentType]
            queues=(QueueReport(queue=f"cpu-n{i:04}", lane="cpu", workers=8), *gpus),
            measured={"ram": Measure(total=262_144, free=240_000)},
            cpu_count=64.0,
        )

    def _class(self, i: int) -> JobClass:
        is_gpu = i % 3 > 0
        needs = Needs(vram_mib=(i % 40 + 1) * 500 if is_gpu else 0, ram_mib=1000 + i % 7 * 500, cpu=1.0)
        return JobClass(
            id=f"c{i:05}",
            backlog=f"b{i % 3}",
            task="media.render",
            lane="gpu" if is_gpu else "cpu",
            needs=needs,
            duration_s=60.0 + i % 50,
        )

    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(self._candidate(i) for i in range(self._scene.classes))

    def _candidate(self, i: int) -> Candidate:
        """The same heads are the same objects, as the ledger's adapter has it."""
        first, left = self._begun[i], self._scene.waiting
        known = self._heads.get(i)
        if known is None or known[0] != first:
            since = 900.0 + i * 1e-3
            heads = tuple(
                Head(job_id=f"j{i:05}-{first + k:08}", attempts=0, since=since + (first + k) * 1e-6)
                for k in range(min(self._heads_of_each, left))
            )
            known = self._heads[i] = (first, heads)
        return Candidate(job_class=self._classes[i], waiting=left, heads=known[1])

    def snapshot(self) -> Snapshot:
        active = Counter(r.queue for r in self._going.values())
        queued = {
            name: count - self._workers[name] for name, count in active.items() if count > self._workers[name]
        }
        return Snapshot(
            now=self._now, nodes=tuple(self._reports), reservations=tuple(self._going.values()), queued=queued
        )

    def fill(self, limits: Limits) -> None:
        """Until nothing more is admitted."""
        keeping = Keeping()
        while True:
            decision = keeping.decide(self.snapshot(), self.candidates(), limits)
            if not decision.admit:
                return
            self.started(decision)

    def started(self, decision: Decision) -> None:
        for admission in decision.admit:
            r = admission.reservation
            self._going[r.job_id] = replace(r, state="running", started_at=self._now, worker=f"w-{r.job_id}")
            self._begun[self._at[r.class_id]] += 1

    def passes(self) -> None:
        """As much time as lies between two ticks."""
        self._now += STEP_S
        for job_id in self._draw.sample(sorted(self._going), min(self._scene.ends, len(self._going))):
            del self._going[job_id]
        due = (
            max(1, round(self._scene.nodes * STEP_S / REPORT_S))
            if self._draw.random() < self._scene.nodes
            else 0
        )
        for _ in range(due):
            i = self._next_report = (self._next_report + 1) % self._scene.nodes
            report = self._reports[i]
            ram = Measure(total=262_144, free=240_000 - self._draw.randrange(500))
            self._reports[i] = replace(report, sent_at=self._now, measured={"ram": ram})


class Cost(NamedTuple):
    cpu_ms: float
    wall_ms: float


class LiveTick:
    """As the loop decides: with what it keeps, and what each gate has cost."""

    def __init__(self) -> None:
        self._keeping = Keeping()
        self._gates = GateLedger()

    def decide(self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> Decision:
        decision = self._keeping.decide(snapshot, candidates, limits)
        self._gates = GateLedger(at=decision.now, holds=carried(decision.hold, self._gates, decision.now))
        return decision


Decide = Callable[[Snapshot, Sequence[Candidate], Limits], Decision]


def timed(
    how: Decide,
    snapshot: Snapshot,
    candidates: Sequence[Candidate],
    limits: Limits,
    profiler: cProfile.Profile | None,
) -> tuple[Decision, Cost]:
    wall, cpu = time.perf_counter(), time.thread_time()
    with uncollected():  # As the loop does.
        if profiler is not None:
            decision = profiler.runcall(how, snapshot, candidates, limits)
        else:
            decision = how(snapshot, candidates, limits)
    return decision, Cost((time.thread_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3)


def rows(scene: TickScene, rule: str, limits: Limits, ticks: int, profile: str) -> Iterator[dict[str, Any]]:
    running, profiler = MovingCluster(scene), cProfile.Profile()
    decision, cost = timed(decide, running.snapshot(), running.candidates(), limits, None)
    yield row(scene, rule, "first", [cost], [len(decision.admit)], len(decision.hold))
    running.fill(limits)
    keeping = LiveTick() if rule == "live" else Keeping()
    kept, afresh, admitted = list[Cost](), list[Cost](), list[int]()
    for n in range(ticks + WARM):
        running.passes()
        seen = (running.snapshot(), running.candidates(), limits)
        decision, cost = timed(keeping.decide, *seen, profiler if profile == "kept" and n >= WARM else None)
        again, cost_afresh = timed(decide, *seen, profiler if profile == "afresh" and n >= WARM else None)
        assert again == decision, "kept and afresh differ"
        if n >= WARM:
            kept.append(cost)
            afresh.append(cost_afresh)
            admitted.append(len(decision.admit))
        running.started(decision)
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(32)
    yield row(scene, rule, "kept", kept, admitted, len(decision.hold))
    yield row(scene, rule, "afresh", afresh, admitted, len(decision.hold))


def row(
    scene: TickScene, rule: str, how: str, costs: list[Cost], admitted: list[int], held: int
) -> dict[str, Any]:
    cpu, wall = sorted(c.cpu_ms for c in costs), sorted(c.wall_ms for c in costs)
    return {
        "scene": scene.name,
        "rule": rule,
        "how": how,
        "cpu_ms": round(statistics.median(cpu), 2),
        "least": round(cpu[0], 2),
        "most": round(cpu[-1], 2),
        "wall_ms": round(statistics.median(wall), 2),
        "admitted": statistics.median(admitted),
        "held": held,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", default="host,cluster", help="those whose names begin so")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--ticks", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", choices=["kept", "afresh"], default="")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for scene in SCENES:
        if not scene.name.startswith(tuple(given.scenes.split(","))):
            continue
        for rule in given.rules.split(","):
            for each in rows(scene, rule, rule_of(rule, scene), given.ticks, given.profile):
                found.append(each)
                print("  ".join(f"{key} {value}" for key, value in each.items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
