"""How much a job costs from plan to receipt: `python benchmarks/throughput.py [FIGURE ..] [--json FILE]`.

Figures: noop, cloud, idle, gate, successor, beside, files, lane. Real processes on a Valkey of their own, all
promises on: each job is planned into a manifest, dispatched, gated, run in an isolated child, receipted on
disk, accepted, verified. `measure` is for `benchmarks/peers.py`, which runs the peers beside it; absolute
figures drift with the machine, ratios hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import load
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.model.identity import content_id
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.verify.verify import verify

NODE = "bench"
BACKLOG = "bench"
LIMIT_S = 180.0
#: Between the first jobs and those that are measured, ours and the peers': what starts behind them is over
#: then (a worker in reserve, which a node starts when it is 5 s old, and the forecast).
SETTLE_S = 7.0
MODULE = "throughput_tasks"
TASKS = """
import time
from workers import task

@task("bench.noop", lane="cpu")
def noop(args, ctx):
    return {}

@task("bench.nap", lane="cloud")
def nap(args, ctx):
    time.sleep(0.01)
    return {}

@task("bench.infer", lane="cpu", warm="bench.model")
def infer(args, ctx):
    import numpy
    import onnxruntime

    def make():
        return onnxruntime.InferenceSession(args["model"], providers=["CPUExecutionProvider"])

    session = ctx.warm("bench.model", make)
    given = session.get_inputs()[0]
    session.run(None, {given.name: numpy.zeros(given.shape, dtype=numpy.float32)})
    return {}

@task("bench.stamp", lane="cpu")
def stamp(args, ctx):
    began = time.monotonic()
    time.sleep(args["seconds"])
    return {"began": began, "ended": time.monotonic()}

@task("bench.stamp_io", lane="io")
def stamp_io(args, ctx):
    return stamp(args, ctx)
"""
CONFIG = """
node = "{node}"
task_modules = ["{module}"]
[lanes]
gpu.workers = 0
io.workers = {io}
cloud.workers = {cloud}
cpu.workers = {cpu}
[limits]
ram_headroom_mib = 0
has_successors = {successors}
[roots.scratch]
path = "scratch"
headroom_bytes = 0
[roots.published]
path = "published"
headroom_bytes = 0
[dashboard]
is_on = false
"""


class ThroughputBench:
    """One project with a node and a conductor of its own."""

    def __init__(
        self, folder: Path, cpu: int = 0, cloud: int = 0, url: str | None = None, successors: bool = True,
        io: int = 0,
    ) -> None:  # fmt: skip
        """`url`: a Redis to share, emptied by the caller. None: a Valkey of the project's own."""
        (folder / f"{MODULE}.py").write_text(TASKS, encoding="utf-8")
        text = CONFIG.format(
            node=NODE, module=MODULE, cpu=cpu, cloud=cloud, io=io, successors=str(successors).lower()
        )
        text += f'[redis]\nurl = "{url}"\n' if url else ""
        (folder / "conductor.toml").write_text(text, encoding="utf-8")
        self.settings = load(folder)
        self.catalogue = load_catalogue(self.settings.task_modules, self.settings.project)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._jobs = 0
        self._workers = cpu + cloud + io

    @contextmanager
    def open(self) -> Generator[Ledger]:
        """With all workers up and waiting."""
        with open_ledger(self.settings) as ledger:
            try:
                self._start("conduct")
                self._start("node")
                until(
                    lambda: sum(q.workers for r in ledger.reports.live() for q in r.queues) >= self._workers
                )
                self._warm(ledger)
                time.sleep(SETTLE_S)
                yield ledger
            finally:
                self._stop()

    def _start(self, *words: str) -> None:
        argv = [sys.executable, "-P", "-m", "conductor", *words]
        log = (self.settings.project / f"{words[0]}.out").open("wb")
        self._processes.append(subprocess.Popen(argv, cwd=self.settings.project, stdout=log, stderr=log))

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(30)

    def _warm(self, ledger: Ledger) -> None:
        """Every child has imported the tasks before the clock starts."""
        for task in ("bench.noop", "bench.nap"):
            if (lane := self.catalogue[task].lane) in self.lanes:
                self.run(ledger, [self.spec(task) for _ in range(20 * self.lanes[lane])])

    @property
    def lanes(self) -> dict[str, int]:
        lanes = self.settings.lanes
        return {name: n for name, n in (("cpu", lanes.cpu.workers), ("cloud", lanes.cloud.workers)) if n}

    def spec(self, task: str, needs: Needs | None = None, **args: object) -> JobSpec:
        self._jobs += 1
        full = {**args, "n": self._jobs}
        job_id = content_id("bench", task, full, {})
        return JobSpec(v=1, id=job_id, workflow="bench", task=task, args=full, needs=needs)

    def put(self, ledger: Ledger, spec: JobSpec) -> None:
        """One job, straight into the backlog."""
        job_class = class_of(spec, self.catalogue[spec.task], BACKLOG)
        ledger.intake.put(BACKLOG, [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])

    def run(self, ledger: Ledger, specs: Sequence[JobSpec]) -> dict[str, float]:
        """The whole way of a manifest. Seconds of its parts, and of all."""
        path = self.settings.project / f"m{self._jobs}.jsonl"
        receipts = self.settings.receipts_dir
        began = time.monotonic()
        manifests.write(path, specs)
        before = ledger.tallies.counts()["done"]
        dispatched_at = time.monotonic()
        dispatch(ledger, path, BACKLOG, self.catalogue, receipts)
        dispatch_s = time.monotonic() - dispatched_at
        until(lambda: ledger.tallies.counts()["done"] >= before + len(specs), every_s=0.01)
        ran_at = time.monotonic()
        report = verify(path, receipts, self.settings.layout)
        assert report.done == len(specs) and report.is_good, report
        now = time.monotonic()
        return {
            "all_s": now - began,
            "dispatch_s": dispatch_s,
            "verify_s": now - ran_at,
            "run_s": ran_at - dispatched_at,
        }


def until(what: Callable[[], Any], limit_s: float = LIMIT_S, every_s: float = 0.002) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come to pass within {limit_s:g} s")
        time.sleep(every_s)
    return answer


# ── the figures ───────────────────────────────────────────────────────────────────────────────────────────


def noop(jobs: int = 4000, rounds: int = 3, url: str | None = None) -> dict[str, Any]:
    """Jobs that do nothing, two worker processes."""
    return _rate(ThroughputBench(new_folder(), cpu=2, url=url), "bench.noop", jobs, rounds)


def cloud(jobs: int = 3000, rounds: int = 3, url: str | None = None) -> dict[str, Any]:
    """Jobs that wait 10 ms, ten slots: the bound is 1,000 a second."""
    return _rate(ThroughputBench(new_folder(), cloud=10, url=url), "bench.nap", jobs, rounds)


def idle(jobs: int = 200, url: str | None = None) -> dict[str, Any]:
    """From the call that dispatches a job into an idle system to the first line of its body."""
    bench = ThroughputBench(new_folder(), cpu=2, url=url)
    with bench.open() as ledger:
        return _latency(idle_delays(bench, ledger, jobs))


def idle_delays(bench: ThroughputBench, ledger: Ledger, jobs: int) -> list[float]:
    """Seconds, in order. Each is put when the one before has ended, and a moment more."""
    sent: list[float] = []
    for _ in range(jobs):
        spec, done = bench.spec("bench.stamp", seconds=0), ledger.tallies.counts()["done"]
        sent.append(time.monotonic())
        bench.put(ledger, spec)
        until(lambda done=done: ledger.tallies.counts()["done"] > done)
        time.sleep(0.02)
    return [began - at for at, (began, _) in zip(sent, _stamps(bench)[-jobs:], strict=True)]


def gate(jobs: int = 200, body_s: float = 0.03) -> dict[str, Any]:
    """One core, wanted whole by each job: from the end of one body to the first line of the next, a queue
    behind it. Each next one is decided when the one before has ended."""
    return _gated(ThroughputBench(new_folder(), cpu=2, successors=False), jobs, body_s)


def successor(jobs: int = 200, body_s: float = 0.03) -> dict[str, Any]:
    """The same, with the next one named while the one before runs."""
    return _gated(ThroughputBench(new_folder(), cpu=2), jobs, body_s)


def beside(jobs: int = 100, body_s: float = 0.05) -> dict[str, Any]:
    """From the end of one body to the first line of another that waits for its cores in another lane, so that
    another worker has to wake up."""
    bench = ThroughputBench(new_folder(), cpu=1, io=1)
    whole = Needs(cpu=float(os.cpu_count() or 1))
    with bench.open() as ledger:
        for _ in range(jobs):
            done = ledger.tallies.counts()["done"]
            for task in ("bench.stamp", "bench.stamp_io"):
                bench.put(ledger, bench.spec(task, whole, seconds=body_s))
                until(lambda: ledger.tallies.counts()["running"])
            until(lambda done=done: ledger.tallies.counts()["done"] >= done + 2)
    stamps = _stamps(bench)[-2 * jobs :]
    return _latency([after[0] - before[1] for before, after in zip(stamps[::2], stamps[1::2], strict=True)])


def files(jobs: int = 200, body_s: float = 0.03) -> dict[str, Any]:
    """The same, and each may write to the disk."""
    return _gated(ThroughputBench(new_folder(), cpu=2), jobs, body_s, scratch_bytes=2**26)


def _gated(bench: ThroughputBench, jobs: int, body_s: float, scratch_bytes: int = 0) -> dict[str, Any]:
    whole = Needs(cpu=float(os.cpu_count() or 1), scratch_bytes=scratch_bytes)
    with bench.open() as ledger:
        before_them = ledger.handover.early_successions()
        bench.run(ledger, [bench.spec("bench.stamp", whole, seconds=body_s) for _ in range(jobs)])
        stamps = sorted(_stamps(bench)[-jobs:])
        ahead = ledger.handover.early_successions() - before_them
    return {**_latency([after[0] - before[1] for before, after in pairwise(stamps)]), "ahead": ahead}


def lane(jobs: int = 200, body_s: float = 0.03) -> dict[str, Any]:
    """One worker and room for all: its next job lies in its queue. From the end of one body to the next
    first line.
    """
    bench = ThroughputBench(new_folder(), cpu=1)
    with bench.open() as ledger:
        bench.run(ledger, [bench.spec("bench.stamp", seconds=body_s) for _ in range(jobs)])
        stamps = sorted(_stamps(bench)[-jobs:])
    return _latency([after[0] - before[1] for before, after in pairwise(stamps)])


def infer(jobs: int, model: Path, url: str | None = None) -> dict[str, Any]:
    """An ONNX model, kept warm in the one worker's child."""
    bench = ThroughputBench(new_folder(), cpu=1, url=url)
    with bench.open() as ledger:
        # The peers' workers have loaded it too before the clock starts.
        bench.run(ledger, [bench.spec("bench.infer", model=str(model)) for _ in range(20)])
        return _rates(bench, ledger, "bench.infer", jobs, 1, model=str(model))


FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "noop": noop,
    "cloud": cloud,
    "idle": idle,
    "gate": gate,
    "successor": successor,
    "beside": beside,
    "files": files,
    "lane": lane,
}


def measure(name: str) -> dict[str, Any]:
    """One figure, in a project and on a Valkey of its own."""
    return FIGURES[name]()


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="throughput-"))


def _rate(bench: ThroughputBench, task: str, jobs: int, rounds: int) -> dict[str, Any]:
    with bench.open() as ledger:
        return _rates(bench, ledger, task, jobs, rounds)


def _rates(
    bench: ThroughputBench, ledger: Ledger, task: str, jobs: int, rounds: int, **args: Any
) -> dict[str, Any]:
    parts = [bench.run(ledger, [bench.spec(task, **args) for _ in range(jobs)]) for _ in range(rounds)]
    rates = sorted(jobs / part["all_s"] for part in parts)
    run = statistics.median(jobs / part["run_s"] for part in parts)
    return {
        "unit": "jobs/s",
        "n": jobs,
        "rounds": rounds,
        "median": round(statistics.median(rates), 1),
        "low": round(rates[0], 1),
        "high": round(rates[-1], 1),
        "dispatch_to_done": round(run, 1),
        "all": rates,
    }


def _stamps(bench: ThroughputBench) -> list[tuple[float, float]]:
    """(first line, last line) of the bodies by the host's monotonic clock, in the order in which they
    began.
    """
    receipts = (r for r in read_receipts(bench.settings.receipts_dir) if r.task.startswith("bench.stamp"))
    return sorted((r.result["began"], r.result["ended"]) for r in receipts)


def _latency(delays_s: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(delay * 1000 for delay in delays_s)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "unit": "ms", "n": len(ordered), "p50": round(statistics.median(ordered), 2), "p99": round(p99, 2),
        "low": round(ordered[0], 2), "high": round(ordered[-1], 2), "all": ordered,
    }  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    result = {name: measure(name) for name in given.figures or FIGURES}
    print(text(result))
    if given.json:
        given.json.write_text(json.dumps(result), encoding="utf-8")
    return 0


def text(result: dict[str, dict[str, Any]]) -> str:
    return "\n".join(
        f"{name:<6} "
        + "  ".join(f"{key} {value}" for key, value in row.items() if key not in ("unit", "all"))
        + f"  {row['unit']}"
        for name, row in result.items()
    )


if __name__ == "__main__":
    sys.exit(main())
