"""The control with stock RQ: a body is killed between its output and RQ's word that the job is done.

It is one of the points at which `test_crash_points.py` kills our own bodies. Kills at random meet that moment
by luck only (2, 2 and 0 of 400 jobs under 60 kills), so the job stands still in it until it is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from conductor.adapters.redis import valkey
from conductor.base.settings.settings import Settings
from tests.chaos.nemesis import send
from workers.system.process_tree import children_of

JOBS = """
import os, pathlib, time


def step(n):
    log = os.open("published.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(log, f"{n}\\n".encode())
    os.close(log)
    try:
        pathlib.Path("hold").rename("held")
    except FileNotFoundError:
        return
    time.sleep(60.0)
"""
LIMIT_S = 60.0


def times_published(folder: Path, jobs: int = 3) -> Counter[int]:
    """Job → how often it published, when each has and RQ has tried the killed one again."""
    from redis import Redis
    from rq import Queue, Retry

    (folder / "rq_jobs.py").write_text(JOBS)
    (folder / "hold").touch()
    with (
        valkey.session(Settings(state_dir=folder / "state").valkey) as url,
        Redis.from_url(url, protocol=2) as client,
    ):
        queue = Queue("high", connection=client)
        for n in range(jobs):
            queue.enqueue("rq_jobs.step", n, retry=Retry(max=3))
        worker = start(folder, url)
        try:
            until((folder / "held").exists)
            (horse,) = children_of(worker.pid)
            send(horse, signal.SIGKILL)
            until(lambda: not queue.count and published(folder).total() > jobs)
        finally:
            for pid in (*children_of(worker.pid), worker.pid):
                send(pid, signal.SIGKILL)
            worker.wait()
    return published(folder)


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    argv = [str(Path(sys.executable).with_name("rq")), "worker", "--url", url, "--quiet", "high"]
    with (folder / "workers.out").open("ab") as sink:
        return subprocess.Popen(
            argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, stdout=sink, stderr=sink
        )


def published(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "published.log").read_text().split()))


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError("stock RQ did not come so far")
        time.sleep(0.02)
