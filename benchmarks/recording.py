"""What recording costs a live tick: `python benchmarks/recording.py [--classes 5,50,300] [--rounds 9] [--json
FILE]`.

A conductor on a Valkey of its own, with and without recording in turn: all classes are held, sixteen jobs run
and say how far they are, and at each tick one job ends and another is admitted. CPU of the tick, and of all
other threads (which is the recorder): medians of the rounds. Then the same ticks are read back: `conductor
replay --job`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loguru import logger

from conductor.adapters.open_ledger import redis_ledger, redis_of
from conductor.adapters.rates.rates import redis_rates
from conductor.analysis.replay.recording import BATCH_S, Recorder, files_of
from conductor.base.settings.limits import limits_of
from conductor.base.settings.sections import Timing
from conductor.base.settings.settings import Settings, load
from conductor.model.ledger_entries import Entry, HeldReport
from conductor.model.receipt import Receipt, Usage
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.snapshot import JobClass
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger
from conductor.tick.loop import Conductor, Record

BACKLOG, RUNNING, LONG_S = "bench", 16, 3600.0
TIMING = Timing(admitted_grace_s=LONG_S, leader_ttl_s=60.0)
#: The figure to reach: of a tick's CPU.
REACH = 0.05


def report() -> NodeReport:
    disks = tuple(
        Volume(root=root, path=f"/{root}", total_bytes=10**12, free_bytes=10**12, is_writable=True)
        for root in ("scratch", "published")
    )
    devices = tuple(
        Device(index=i, uuid=f"u{i}", name="x", vram_total_mib=24_576, vram_used_mib=300) for i in range(4)
    )
    queues = tuple(QueueReport(queue=f"gpu-n-{d.key}", lane="gpu", device=d.key, workers=8) for d in devices)
    return NodeReport(
        node="n", host="n", devices=devices, volumes=disks, queues=queues,
        measured={"ram": Measure(total=131_072, free=100_000)}, cpu_count=64.0,
    )  # fmt: skip


class FullNode:
    """A node that is full, and a ledger in which the next job of each class waits."""

    def __init__(self, ledger: Ledger, classes: int) -> None:
        self._ledger = ledger
        self._report = report()
        for n in range(classes):
            needs = Needs(vram_mib=5_800 + n % 7, ram_mib=500 + n, cpu=0.5)
            job_class = JobClass(
                id=f"class{n:04}", backlog=BACKLOG, task="bench.task", lane="gpu", needs=needs
            )
            self._put(job_class, 10_000 // classes)

    def _put(self, job_class: JobClass, count: int) -> None:
        specs = [
            JobSpec(v=1, id=f"{job_class.id}x{n:06}", workflow="b", task="bench.task", args={})
            for n in range(count)
        ]
        self._ledger.intake.put(
            BACKLOG, [Entry(job_id=s.id, line=to_line(s), job_class=job_class) for s in specs]
        )

    def passes(self, n: int) -> None:
        """What happens between two ticks."""
        ledger = self._ledger
        if n % 8 == 0:
            ledger.reports.publish(self._report, LONG_S)
        going = ledger.handover.reservations()
        for i, r in enumerate(going):
            if r.state == "admitted":
                ledger.attempts.start(r.job_id, r.attempt, f"w-{i % RUNNING}", LONG_S)
            elif (i + n) % 6 == 0:
                used = Usage(vram_mib=5_000 + n % 50, rss_mib=400 + n % 9)
                report = HeldReport(
                    job_id=r.job_id,
                    attempt=r.attempt,
                    usage=used,
                    progress=(n % 100) / 100,
                    note=f"frame {n}",
                )
                ledger.attempts.renew(r.worker or "w", LONG_S, [report])
        if len(going) >= RUNNING:
            ledger.attempts.accept(done(going[0].job_id, going[0].attempt, ledger.bell.now()))


def done(job_id: str, attempt: int, now: float) -> Receipt:
    return Receipt(
        v=1, job_id=job_id, attempt=attempt, workflow="b", task="bench.task", outcome="ok", started_at=now,
        ended_at=now, node="n", worker="w",
    )  # fmt: skip


def measured(folder: Path, classes: int, rounds: int, ticks: int) -> dict[str, Any]:
    (folder / "conductor.toml").write_text("", encoding="utf-8")
    settings = load(folder)
    with redis_of(settings) as client:
        ledger = redis_ledger(client)
        scene = FullNode(ledger, classes)
        rows: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        with Recorder(folder / "ticks", 1 << 30) as recorder:
            keeps: dict[bool, Record | None] = {False: None, True: recorder.record}
            both = {is_on: conductor_of(settings, client, ledger, keep) for is_on, keep in keeps.items()}
            for turn in range(2 * rounds + 2):
                is_on = bool(turn % 2)
                cost = one_round(both[is_on], scene, ticks)
                if turn > 1:  # the first of each fills the node, and makes what is made once
                    rows[is_on].append(cost)
    size = sum(file.stat().st_size for file in files_of(folder / "ticks"))
    return {
        "classes": classes,
        "tick_ms": round(statistics.median(row[0] for row in rows[False]), 3),
        "recorded_tick_ms": round(statistics.median(row[0] for row in rows[True]), 3),
        "beside_ms": round(statistics.median(row[1] for row in rows[True]), 4),
        "share": round(statistics.median(sum(on) / sum(off) - 1 for on, off in pairs(rows)), 4),
        "bytes_a_tick": round(size / ((rounds + 1) * ticks)),
    }


def pairs(
    rows: dict[bool, list[tuple[float, float]]],
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Each recorded round with the one before it."""
    return list(zip(rows[True], rows[False], strict=True))


def conductor_of(settings: Settings, client: Any, ledger: Ledger, keep: Record | None) -> Conductor:
    rates = redis_rates(client, ledger.calls, {})
    return Conductor(ledger, rates, limits_of(settings), TIMING, f"bench-{os.getpid()}", record=keep)


def one_round(conductor: Conductor, scene: FullNode, ticks: int) -> tuple[float, float]:
    """Milliseconds of CPU a tick: of this thread in the tick, and of the others."""
    in_ticks, began, began_here = 0.0, time.process_time(), time.thread_time()
    for n in range(ticks):
        scene.passes(n)
        before = time.thread_time()
        conductor.tick()
        in_ticks += time.thread_time() - before
    time.sleep(3 * BATCH_S)  # the recorder writes what it was given
    beside = (time.process_time() - began) - (time.thread_time() - began_here)
    return in_ticks / ticks * 1e3, beside / ticks * 1e3


def main() -> int:
    """0: each share is within reach; 1: not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", default="5,50,300")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ticks", type=int, default=60, help="of a round")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logger.remove()
    rows: list[dict[str, Any]] = []
    for classes in given.classes.split(","):
        with tempfile.TemporaryDirectory(prefix="conductor-recording-") as folder:
            rows.append(measured(Path(folder), int(classes), given.rounds, given.ticks))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return int(any(row["share"] > REACH for row in rows))


if __name__ == "__main__":
    sys.exit(main())
