"""What a live tick costs, on a real Valkey: `python benchmarks/live_tick.py [--waiting 0,1000,1000000]
[--ticks 60]`.

The conductor's own loop (the lead and the steps of a tick), without its other threads. «idle»:
an empty host, one job of one class arrives, the bell rings, it is handed over. «busy»: 8 devices that are
full, 100 classes, as many jobs waiting as said; between two ticks some jobs end, and the next ones start.
«--brisk»: beside them in each tick so many short jobs of one class more are handed over, whose lane has room
for all. CPU milliseconds of the tick's thread by part, and from the bell to the hand-over (`to_fed`, wall,
with the server's part of it; `server`: CPU of the server, an INFO with it).
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import peer_env
import throughput
from loguru import logger
from msgspec.structs import replace
from redis import Redis

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.rates.rates import redis_rates
from conductor.analysis.replay.recording import Recorder
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import Settings, load
from conductor.core.admission.queue_depth import MOST_AHEAD
from conductor.model.ledger_entries import Entry, WorkerTurn
from conductor.model.receipt import Receipt
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger
from conductor.record.ledger_identity import Guard
from conductor.tick.learned_needs import NeedsLearner, policy_of
from conductor.tick.loop import Conductor

CLASSES, ENDS, CHUNK, WARM = 100, 2, 500, 5
CONFIG = 'node = "bench"\n[dashboard]\nis_on = false\n[redis]\nurl = "{url}"\n'
#: Steps of a tick (`conductor.tick.steps`) that cost; the others are «rest».
PARTS = ("observe", "learn", "decide", "apply", "explain", "carry", "account", "tell")


def name_of(step: Callable[..., Any]) -> str:
    return getattr(step, "func", step).__name__


class PartClock:
    """CPU seconds by part, and when the hand-over had been answered."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.fed_at = 0.0

    def around(self, part: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            began = time.thread_time()
            try:
                return what(*args, **more)
            finally:
                self.cpu[part] += time.thread_time() - began
                if part == "apply":
                    self.fed_at = time.perf_counter()

        return timed


class TickBench:
    def __init__(self, settings: Settings, client: Redis, recorder: Recorder, learning: NeedsLearner) -> None:
        self.ledger: Ledger = redis_ledger(client)
        self.world: Ledger = redis_ledger(client)  # what others do is not of the conductor's scripts
        self.client = client
        self.clock = PartClock()
        around = self.clock.around
        limits = replace(limits_of(settings), has_successors=True)
        self.conductor = Conductor(
            self.ledger,
            redis_rates(client, self.ledger.calls, settings.rates),
            limits,
            settings.timing,
            "bench",
            teach=learning.teach,
            record=recorder.record,
            guard=Guard(self.ledger, settings.receipts_dir).reason,
        )
        self.conductor.steps = tuple(around(name_of(step), step) for step in self.conductor.steps)
        self.jobs = 0

    def publish(self, devices: int, cpu: int) -> None:
        self.world.reports.publish(self.report(devices, cpu), 600)

    def report(self, devices: int, cpu: int) -> NodeReport:
        gpus = tuple(
            Device(index=d, uuid=f"{d}", name="x", vram_total_mib=24_576, vram_used_mib=300)
            for d in range(devices)
        )
        queues = (
            QueueReport(queue="cpu-bench", lane="cpu", workers=cpu),
            QueueReport(queue="cloud-bench", lane="cloud", workers=64),
            *(
                QueueReport(queue=f"gpu-bench-gpu{d}", lane="gpu", device=f"gpu{d}", workers=2)
                for d in range(devices)
            ),
        )
        return NodeReport(
            node="bench",
            host="bench",
            devices=gpus,
            queues=queues,
            measured={"ram": Measure(total=262_144, free=240_000)},
            volumes=tuple(
                Volume(
                    root=root,
                    filesystem=root,
                    path="/",
                    total_bytes=10**12,
                    free_bytes=10**11,
                    is_writable=True,
                )
                for root in ("scratch", "published")
            ),
            cpu_count=64.0,
        )

    def put(self, classes: list[JobClass], count: int) -> None:
        entries = list[Entry]()
        for n in range(count):
            job_class = classes[n % len(classes)]
            spec = JobSpec(v=1, id=f"job{self.jobs:012}", workflow="w", task=job_class.task)
            entries.append(Entry(job_id=spec.id, line=to_line(spec), job_class=job_class))
            self.jobs += 1
            if len(entries) == CHUNK:
                self.world.intake.put("b", entries)
                entries = []
        self.world.intake.put("b", entries)

    def server_s(self) -> float:
        """CPU seconds of its one thread that runs commands."""
        found: dict[str, float] = self.client.info("cpu")  # pyright: ignore[reportAssignmentType]
        return found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"]

    def settled(self) -> None:
        """The server writes its file anew after so much growth, beside itself: not what a tick costs."""
        throughput.until(lambda: not peer_env.is_rewriting(self.client))

    def start(self) -> None:
        for r in self.world.handover.reservations():
            if r.state == "admitted":
                self.world.attempts.start(r.job_id, r.attempt, f"w-{r.job_id}", 600)

    def end(self, count: int, lanes: tuple[str, ...] = ("gpu", "cpu")) -> None:
        running = (r for r in self.world.handover.reservations() if r.state == "running" and r.lane in lanes)
        for r in list(islice(running, count)):
            self.accept(r)

    def accept(self, r: Reservation) -> None:
        now = self.world.bell.now()
        self.world.attempts.accept(
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

    def tick(self, profiler: cProfile.Profile | None = None) -> dict[str, float]:
        """As `run` does: on the bell, which has rung."""
        self.clock.cpu.clear()
        self.clock.fed_at = 0.0
        server = self.server_s()
        conductor, cpu, wall = self.conductor, time.thread_time(), time.perf_counter()
        if profiler is not None:
            profiler.enable()
        conductor._wait(0.2, lambda: False)  # pyright: ignore[reportPrivateUsage]
        asked = time.thread_time()
        conductor.tick()
        if profiler is not None:
            profiler.disable()
        all_cpu = time.thread_time() - cpu
        parts = {part: self.clock.cpu[part] for part in PARTS}
        row = {
            "all": all_cpu,
            "ask": asked - cpu,
            **parts,
            "rest": time.thread_time() - asked - sum(parts.values()),
        }
        row["server"] = self.server_s() - server
        if self.clock.fed_at:
            row["to_fed"] = self.clock.fed_at - wall
        return {name: seconds * 1e3 for name, seconds in row.items()}


def idle(bench: TickBench, ticks: int, profiler: cProfile.Profile | None) -> Iterator[dict[str, float]]:
    bench.publish(devices=0, cpu=2)
    job_class = JobClass(
        id="one", backlog="b", task="bench.one", lane="cpu", needs=Needs(cpu=1.0), duration_s=0.01
    )
    for n in range(ticks + WARM):
        bench.publish(devices=0, cpu=2)
        bench.tick()
        bench.put([job_class], 1)
        row = bench.tick(profiler if n >= WARM else None)
        assert bench.world.handover.reservations(), "it was handed over"
        bench.start()
        bench.end(1)
        bench.tick()
        if n >= WARM:
            yield row


def busy(
    bench: TickBench, waiting: int, ticks: int, brisk: int, profiler: cProfile.Profile | None
) -> Iterator[dict[str, float]]:
    bench.publish(devices=8, cpu=8)
    bench.put([a_class(i) for i in range(CLASSES)], waiting)
    bench.put([BRISK], brisk * (ticks + WARM) + MOST_AHEAD if brisk else 0)
    pace = WorkerTurn(
        worker="w", queue="cloud-bench", lease_s=600, number="1", news={BRISK.task: BRISK.duration_s}
    )
    bench.world.attempts.turn(pace)
    bench.settled()
    for _ in range(60):
        bench.tick()
        bench.start()
    for n in range(ticks + WARM):
        bench.end(ENDS)
        bench.end(brisk, ("cloud",))
        row = bench.tick(profiler if n >= WARM else None)
        bench.start()
        bench.put([a_class(i) for i in range(CLASSES)][n % CLASSES :], ENDS)
        if n % 10 == 0:
            bench.publish(devices=8, cpu=8)
        if n >= WARM:
            yield row


BRISK = JobClass(
    id="brisk", backlog="b", task="bench.brisk", lane="cloud", needs=Needs(ram_mib=10), duration_s=0.01
)


def a_class(i: int) -> JobClass:
    is_gpu = i % 3 > 0
    needs = Needs(vram_mib=(i % 40 + 1) * 500 if is_gpu else 0, ram_mib=1000 + i % 7 * 500, cpu=1.0)
    lane = "gpu" if is_gpu else "cpu"
    return JobClass(
        id=f"c{i:05}", backlog="b", task="media.render", lane=lane, needs=needs, duration_s=60.0 + i % 50
    )


def measured(folder: Path, url: str, waiting: int, ticks: int, brisk: int, profile: bool) -> dict[str, Any]:
    """`waiting` 0: idle."""
    (folder / "conductor.toml").write_text(CONFIG.format(url=url), encoding="utf-8")
    settings, profiler = load(folder), cProfile.Profile() if profile else None
    peer_env.emptied(url)
    with (
        connect(url) as client,
        Recorder(folder / f"ticks{waiting}", 64 << 20) as recorder,
        NeedsLearner(settings.layout, policy_of(settings.learning), {}, limits_of(settings)) as learning,
    ):
        bench = TickBench(settings, client, recorder, learning)
        rows = list(busy(bench, waiting, ticks, brisk, profiler) if waiting else idle(bench, ticks, profiler))
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        pstats.Stats(profiler).sort_stats("cumtime").print_stats(60)
    medians = {name: round(statistics.median(row.get(name, 0.0) for row in rows), 3) for name in rows[0]}
    return {"waiting": waiting, **medians}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", default="0,1000,1000000", help="0: the idle host")
    parser.add_argument("--ticks", type=int, default=60)
    parser.add_argument("--brisk", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="live-tick-") as name, peer_env.shared_valkey(Path(name)) as url:
        for waiting in given.waiting.split(","):
            found.append(measured(Path(name), url, int(waiting), given.ticks, given.brisk, given.profile))
            print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
