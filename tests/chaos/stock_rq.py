"""The same kills against stock RQ workers: a job publishes by a line in a file, once it has done its work.

A kill by chance alone rarely meets the moment between a job's line and RQ's word that the job is done, so a
run of fair luck proved nothing. Half of the kills of a horse wait for that moment; against Conductor it is
one of the points at which `test_crash_points.py` kills each time.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from conductor.adapters.redis import valkey
from conductor.base.settings.settings import Settings
from tests.chaos.nemesis import send
from workers.system.process_tree import children_of

JOBS = """
import os, time


def step(n, seconds):
    time.sleep(seconds)
    log = os.open("published.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(log, f"{n} {os.getpid()}\\n".encode())
    os.close(log)
    time.sleep(0.05)  # Files are closed, somebody is told.
"""
#: RQ's own clean-up is tuned to be as quick as it goes, and every job may be tried four times.
WORKER = ("--maintenance-interval", "1", "--worker-ttl", "3", "--job-monitoring-interval", "1", "--quiet")
QUIET_S = 4.0


def play(folder: Path, rng: random.Random, jobs: int, kills: int) -> tuple[int, int]:
    """Lost and doubled of `jobs`, under `kills` of workers and their horses; each worker listens to two
    queues.
    """
    from redis import Redis
    from rq import Queue, Retry

    (folder / "rq_jobs.py").write_text(JOBS)
    with (
        valkey.session(Settings(state_dir=folder / "state").valkey) as url,
        Redis.from_url(url, protocol=2) as client,
    ):
        queues = [Queue(name, connection=client) for name in ("high", "low")]
        for n in range(jobs):
            queues[n % 2].enqueue("rq_jobs.step", n, rng.expovariate(1 / 0.01), retry=Retry(max=3))
        workers = [start(folder, url) for _ in range(4)]
        try:
            strike(folder, url, workers, rng, kills)
            settle(folder, url, workers, jobs)
        finally:
            for worker in workers:
                for pid in (*children_of(worker.pid), worker.pid):
                    send(pid, signal.SIGKILL)
                worker.wait()
    times = Counter(int(line.split()[0]) for line in (folder / "published.log").read_text().splitlines())
    return jobs - len(times), sum(n > 1 for n in times.values())


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    argv = [str(Path(sys.executable).with_name("rq")), "worker", "--url", url, *WORKER, "high", "low"]
    with (folder / "workers.out").open("ab") as sink:
        return subprocess.Popen(
            argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, stdout=sink, stderr=sink
        )


def strike(
    folder: Path, url: str, workers: list[subprocess.Popen[bytes]], rng: random.Random, kills: int
) -> None:
    struck = 0
    deadline = time.monotonic() + 60.0
    while struck < kills and time.monotonic() < deadline:
        time.sleep(rng.expovariate(1 / 0.08))
        index = rng.randrange(len(workers))
        horses = children_of(workers[index].pid)
        if horses and rng.random() < 0.6:
            publisher = next_publisher(folder / "published.log") if rng.random() < 0.5 else None
            # The horse of a killed worker publishes too; RQ takes its job for one that runs on.
            is_watched = any(publisher in children_of(worker.pid) for worker in workers)
            send(publisher if publisher and is_watched else horses[0], signal.SIGKILL)
        elif horses or rng.random() < 0.3:
            # The horse of a killed worker runs on: that is RQ's own doing.
            send(workers[index].pid, signal.SIGKILL)
            workers[index].wait()
            workers[index] = start(folder, url)
        else:
            continue
        struck += 1


def next_publisher(log: Path, limit_s: float = 1.0) -> int | None:
    """The horse whose job publishes next, which lives for another moment; None if none does within
    `limit_s`.
    """
    with suppress(FileNotFoundError), log.open() as lines:
        lines.seek(0, os.SEEK_END)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if line := lines.readline():
                return int(line.split()[1])
            time.sleep(0.001)
    return None


def settle(
    folder: Path, url: str, workers: list[subprocess.Popen[bytes]], jobs: int, limit_s: float = 40.0
) -> None:
    """Until nothing has been published for a while: what RQ gives back later than that, nobody waits for
    here.
    """
    log, deadline = folder / "published.log", time.monotonic() + limit_s
    size, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < QUIET_S:
        time.sleep(0.1)
        with suppress(OSError):
            if (now := log.stat().st_size) != size:
                size, since = now, time.monotonic()
        for index, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[index] = start(folder, url)
