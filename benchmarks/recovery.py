"""How long a job is out of work after a death: `python benchmarks/recovery.py [--kills 40] [--workers 2]
[--json]`.

Real processes on a Valkey of their own, one job after another. From a SIGKILL of the worker's parent, of its
child, or of both to the start of the job's next attempt, by the ledger's clock; of all processes of a host to
the return of its jobs; of the leader to the standby's lead. The machine is named with the figures, for these
are no ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.identity import content_id
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger

NODE = "bench"
LIMIT_S = 60.0
CONFIG = """
node = "{node}"
[lanes]
gpu.workers = 0
io.workers = 0
cloud.workers = 0
cpu.workers = {workers}
[limits]
ram_headroom_mib = 0
[roots.scratch]
path = "scratch"
headroom_bytes = 0
[roots.published]
path = "published"
headroom_bytes = 0
"""


class RecoveryBench:
    def __init__(self, folder: Path, workers: int) -> None:
        (folder / "conductor.toml").write_text(CONFIG.format(node=NODE, workers=workers), encoding="utf-8")
        self.settings = load(folder)
        self._catalogue = load_catalogue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._jobs = 0

    @contextmanager
    def open(self) -> Generator[Ledger]:
        with open_ledger(self.settings) as ledger:
            try:
                yield ledger
            finally:
                for process in self._processes:
                    kill_all(process)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.settings.project / f"{words[0]}-{len(self._processes)}.out").open("wb")
        argv = [sys.executable, "-P", "-m", "conductor", *words]
        process = subprocess.Popen(
            argv, cwd=self.settings.project, stdout=log, stderr=log, start_new_session=True
        )
        self._processes.append(process)
        return process

    def put(self, ledger: Ledger, seconds: float) -> str:
        self._jobs += 1
        args = {"seconds": seconds, "n": self._jobs}
        spec = JobSpec(
            v=1,
            id=content_id("bench", "diagnostics.sleep", args, {}),
            workflow="bench",
            task="diagnostics.sleep",
            args=args,
            needs=Needs(),
            retry={"worker_lost": 1000},
        )
        job_class = class_of(spec, self._catalogue[spec.task], "bench")
        ledger.intake.put("bench", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        return spec.id


def until(what: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come to pass within {limit_s:g} s")
        time.sleep(0.002)
    return answer


@contextmanager
def telling(folder: Path) -> Generator[None]:
    """On an error: what the processes said last."""
    try:
        yield
    except Exception:
        for log in sorted(folder.glob("*.out")):
            sys.stderr.write(f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}\n")
        raise


def running(ledger: Ledger, job_id: str, attempt: int) -> Reservation | None:
    job = ledger.jobs.job(job_id)
    held = job.reservation if job else None
    return held if held and held.state == "running" and held.attempt >= attempt else None


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to it and all below it, at once."""
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for pid in (process.pid, *(p.pid for p in below)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def of_worker(node: subprocess.Popen[bytes], held: Reservation) -> tuple[int, list[int]]:
    """Pids of the worker that holds the job and of its child."""
    for process in psutil.Process(node.pid).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if held.worker in words:
            return process.pid, [child.pid for child in process.children()]
    raise SystemExit(f"recovery: no process of worker {held.worker}")


def deaths(
    bench: RecoveryBench, ledger: Ledger, node: subprocess.Popen[bytes], kills: int, seed: int
) -> dict[str, list[float]]:
    """Kind of death → seconds to the replacement's start. One job is kept running, and killed over and
    over.
    """
    choose = random.Random(seed)
    found: dict[str, list[float]] = {"parent": [], "child": [], "both": []}
    job_id = bench.put(ledger, 3600)
    held = until(lambda: running(ledger, job_id, 1))
    for number in range(kills):
        kind = ("parent", "child", "both")[number % 3]
        time.sleep(choose.uniform(1.0, 4.0))
        parent, children = of_worker(node, held)
        victims = {"parent": [parent], "child": children[:1], "both": [parent, *children]}[kind]
        killed_at = ledger.bell.now()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        before = held
        held = until(lambda before=before: running(ledger, job_id, before.attempt + 1))
        found[kind].append(held.started_at - killed_at)
    ledger.commands.cancel(job_id)
    until(lambda: not ledger.handover.reservations())
    return found


def lost_host(bench: RecoveryBench, ledger: Ledger, rounds: int) -> list[float]:
    """Seconds from the end of all processes of a host to the return of its job to the backlog."""
    found: list[float] = []
    for _ in range(rounds):
        node = bench.start("node")
        job_id = bench.put(ledger, 3600)
        until(lambda job_id=job_id: running(ledger, job_id, 1))
        killed_at = ledger.bell.now()
        kill_all(node)
        until(lambda job_id=job_id: (job := ledger.jobs.job(job_id)) and job.state == "waiting")
        found.append(ledger.bell.now() - killed_at)
        ledger.commands.cancel(job_id)
    return found


def failover(
    bench: RecoveryBench, ledger: Ledger, leader: subprocess.Popen[bytes], rounds: int
) -> list[float]:
    found: list[float] = []
    for _ in range(rounds):
        standby = bench.start("conduct")
        time.sleep(2.0)
        first = until(ledger.leadership.leader)
        killed_at = ledger.bell.now()
        kill_all(leader)
        until(lambda first=first: (now := ledger.leadership.leader()) and now[0] != first[0])
        found.append(ledger.bell.now() - killed_at)
        leader = standby
    return found


def summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "n": len(ordered),
        "p50_s": round(statistics.median(ordered), 3),
        "p99_s": round(p99, 3),
        "max_s": round(ordered[-1], 3),
    }


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, load {os.getloadavg()[0]:.1f}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=45)
    options.add_argument("--rounds", type=int, default=5, help="of a lost host and of a lost leader")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        bench = RecoveryBench(Path(folder), given.workers)
        with bench.open() as ledger, telling(Path(folder)):
            leader = bench.start("conduct")
            until(ledger.leadership.leader)
            node = bench.start("node")
            found = deaths(bench, ledger, node, given.kills, given.seed)
            kill_all(node)
            found["host"] = lost_host(bench, ledger, given.rounds)
            found["leader"] = failover(bench, ledger, leader, given.rounds)
    result = {"machine": machine(), "workers": given.workers, "lease_s": bench.settings.timing.lease_s}
    result["figures"] = {kind: summary(values) for kind, values in found.items() if values}
    print(json.dumps(result) if given.json else text(result))
    return 0


def text(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; {result['workers']} workers, lease {result['lease_s']:g} s"]
    for kind, row in result["figures"].items():
        lines.append(
            f"  {kind:<7} n {row['n']:>3}  p50 {row['p50_s']:.3f} s  p99 {row['p99_s']:.3f} s  max "
            f"{row['max_s']:.3f} s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
