"""How far hosts carry: `python benchmarks/hosts.py [scale] [join] [--hosts 64] [--workers 4] [--jobs 4000]`.

«scale»: jobs that do nothing, on one node and on many of this machine, in turns; what a job costs on each,
and what a tick of the conductor takes meanwhile; 64 hosts of 4 take some five minutes. «join»: from the start
of `conductor node` to the first job of that host, while others work. Real processes on a Valkey of their own;
each node has its own name, report, workers and children.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import throughput
from throughput import NODE, ThroughputBench, until

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.open_ledger import open_ledger
from conductor.ports import Ledger

#: So long hosts have to leave: 64 of them want two cores for it.
END_S = 60.0
#: `conductor conduct` with a stopwatch around each tick: wall and CPU milliseconds, a line each.
TIMED = """
import atexit, os, sys, time
from conductor.tick import loop
real, file = loop.Conductor.tick, open(os.environ["TICKS"], "w", buffering=1)
def tick(self, *args, **more):
    wall, cpu = time.perf_counter(), time.thread_time()
    try:
        return real(self, *args, **more)
    finally:
        file.write(f"{(time.perf_counter() - wall) * 1000:.3f} {(time.thread_time() - cpu) * 1000:.3f}\\n")
loop.Conductor.tick = tick
from conductor.__main__ import main
sys.argv[1:] = ["conduct"]
sys.exit(main())
"""


class HostsBench(ThroughputBench):
    """`hosts` nodes of `workers` each, and a conductor whose ticks are timed."""

    def __init__(self, folder: Path, hosts: int, workers: int) -> None:
        super().__init__(folder, cpu=workers)
        self._hosts, self._per_host = hosts, workers
        self._ticks = folder / "ticks.txt"
        self._ours: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def open(self) -> Generator[Ledger]:
        with open_ledger(self.settings) as ledger:
            try:
                self.call([sys.executable, "-P", "-c", TIMED], "conduct", TICKS=str(self._ticks))
                for n in range(self._hosts):
                    self.start_node(f"{NODE}{n}")
                    # One after the other, as hosts are switched on: at once they would wait for cores.
                    until(lambda n=n: len(ledger.reports.live()) > n - 4)
                until(lambda: workers_of(ledger) >= self._hosts * self._per_host)
                self.run(ledger, [self.spec("bench.noop") for _ in range(20 * self._hosts * self._per_host)])
                time.sleep(throughput.SETTLE_S)
                yield ledger
            finally:
                self.end(self._ours)

    def start_node(self, name: str) -> subprocess.Popen[bytes]:
        return self.call([sys.executable, "-P", "-m", "conductor", "node"], name, CONDUCTOR_NODE=name)

    def call(self, argv: Sequence[str], name: str, **env: str) -> subprocess.Popen[bytes]:
        folder = self.settings.project
        with (folder / f"{name}.out").open("wb") as log:
            process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, env={**os.environ, **env})
        self._ours.append(process)
        return process

    def end(self, those: Sequence[subprocess.Popen[bytes]]) -> None:
        """All at once; what is still there after `END_S` is killed, and its workers go with it."""
        for process in those:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + END_S
        for process in those:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ticks_since(self, line: int) -> list[tuple[float, float]]:
        """(wall, CPU) milliseconds of the ticks from that one on."""
        rows = self._ticks.read_text().splitlines()[line:]
        return [(float(wall), float(cpu)) for wall, cpu in (row.split() for row in rows)]


def workers_of(ledger: Ledger) -> int:
    return sum(queue.workers for report in ledger.reports.live() for queue in report.queues)


def scale(hosts: int, workers: int, jobs: int, rounds: int) -> dict[str, Any]:
    """One host and many, in turns: what drifts, drifts for both."""
    found: dict[int, list[float]] = {1: [], hosts: []}
    ticks: dict[int, list[tuple[float, float]]] = {1: [], hosts: []}
    memory = 0
    for _ in range(rounds):
        for count in found:
            bench = HostsBench(throughput.new_folder(), count, workers)
            with bench.open() as ledger:
                before = len(bench.ticks_since(0))
                part = bench.run(ledger, [bench.spec("bench.noop") for _ in range(jobs)])
                found[count].append(part["run_s"] / jobs * 1e6)
                ticks[count] += bench.ticks_since(before)
                memory = max(memory, used_mib())
    return {
        "us_a_job": {count: [round(each) for each in values] for count, values in found.items()},
        "ratio": round(statistics.median(found[hosts]) / statistics.median(found[1]), 3),
        "ticks_ms": {count: quantiles(values) for count, values in ticks.items()},
        "memory_mib": memory,
    }


def quantiles(ticks: Sequence[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = (sorted(tick[i] for tick in ticks) for i in (0, 1))
    return {
        "n": len(ticks),
        "wall_p50": at(wall, 0.5),
        "wall_p99": at(wall, 0.99),
        "cpu_p50": at(cpu, 0.5),
        "cpu_p99": at(cpu, 0.99),
    }


def at(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def used_mib() -> int:
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return (int(facts["MemTotal"].split()[0]) - int(facts["MemAvailable"].split()[0])) >> 10


def join(joins: int) -> dict[str, Any]:
    """Seconds from the call of `conductor node` to the first line of the first body on it, by its receipt."""
    bench = HostsBench(throughput.new_folder(), 1, 1)
    found: list[float] = []
    with bench.open() as ledger:
        for n in range(joins):
            name = f"late{n}"
            specs = [bench.spec("bench.stamp", seconds=0.2) for _ in range(60)]
            for spec in specs:
                bench.put(ledger, spec)
            ledger.bell.ring()
            called_at = time.time()
            process = bench.start_node(name)
            until(lambda name=name: first_of(bench, name) is not None, every_s=0.05)
            found.append((first_of(bench, name) or 0.0) - called_at)
            bench.end([process])
            until(lambda: ledger.tallies.counts()["waiting"] == 0, every_s=0.05)
    found.sort()
    return {"n": joins, "p50_s": round(found[len(found) // 2], 2), "longest_s": round(found[-1], 2)}


def first_of(bench: HostsBench, node: str) -> float | None:
    began = (r.started_at for r in read_receipts(bench.settings.receipts_dir) if r.node == node)
    return min(began, default=None)


def told_to_end(number: int, frame: object) -> None:
    """By an exception, so that hundreds of processes are ended on the way out."""
    sys.exit(128 + number)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", nargs="*", default=["join", "scale"])
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--joins", type=int, default=10)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, told_to_end)
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    if "join" in options.figures:
        found["join"] = join(options.joins)
    if "scale" in options.figures:
        found["scale"] = scale(options.hosts, options.workers, options.jobs, options.rounds)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
