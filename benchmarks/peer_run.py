"""One peer, one case, one run: workers up, warmed, timed from outside by the eight bytes each job leaves
in a file.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from throughput import SETTLE_S

HERE = Path(__file__).resolve().parent / "peer_apps"
MARK = 8
WARM_UP = 40
LIMIT_S = 120.0


class Peer(NamedTuple):
    """`variant`: which of the app's ways to run it. `cases`: those it is measured in."""

    name: str
    app: str
    variant: str = ""
    cases: tuple[str, ...] = ("noop", "sleep", "stamp")


PEERS = (
    Peer("RQ fork", "on_rq", "fork", ("noop", "sleep", "stamp", "infer")),
    Peer("RQ SimpleWorker", "on_rq", "simple", ("noop", "sleep", "stamp", "infer")),
    Peer("Celery prefork", "on_celery", "plain"),
    Peer("Celery acks_late + results", "on_celery", "acks_late"),
    Peer("Dramatiq, 1 thread", "on_dramatiq", "t1"),
    Peer("Dramatiq, 8 threads", "on_dramatiq", "t8"),
    Peer("Huey, processes", "on_huey"),
    Peer("taskiq", "on_taskiq"),
    Peer("arq, 10 ms poll", "on_arq"),
    Peer("HyperQueue", "on_hyperqueue", "", ("noop",)),
)


class Stage:
    """Where the peers play: their environment, the shared server, a folder for marks and models."""

    def __init__(self, python: Path, url: str, folder: Path, processes: int) -> None:
        self.python = python
        self.marks = folder / "marks"
        self._folder = folder
        self._shared = {
            "BENCH_URL": url,
            "BENCH_MARKS": str(self.marks),
            "BENCH_MODEL": str(folder / "model.onnx"),
            "BENCH_FOLDER": str(folder),
            "BENCH_PROCESSES": str(processes),
        }

    def of(self, processes: int) -> Stage:
        """The same with another number of worker processes."""
        return Stage(self.python, self._shared["BENCH_URL"], self._folder, processes)

    def env(self, peer: Peer) -> dict[str, str]:
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(HERE), "BENCH_APP": peer.app, "BENCH_VARIANT": peer.variant}
        return {**os.environ, **self._shared, **own}

    def send(self, peer: Peer, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.python), "send.py", *args],
            cwd=HERE,
            env=self.env(peer),
            stdout=subprocess.PIPE,
            text=True,
        )

    def marked(self) -> int:
        return self.marks.stat().st_size // MARK if self.marks.exists() else 0

    def wait_for(self, count: int, watched: Sequence[subprocess.Popen[str]] = ()) -> None:
        """Until so many jobs have left their mark. Raises when a process ends before, or the time is up."""
        end = time.monotonic() + LIMIT_S
        while self.marked() < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.marked()} of {count} jobs after {LIMIT_S:g} s")
            if any(process.poll() not in (None, 0) for process in watched):
                raise ChildProcessError(f"a process ended: {[process.args for process in watched]}")
            time.sleep(0.0005)


@contextmanager
def working(stage: Stage, peer: Peer, case: str) -> Generator[None]:
    """The peer's workers, each of them warm."""
    stage.marks.write_bytes(b"")
    sender = stage.send(peer, "workers")
    assert sender.stdout is not None, "asked for a pipe"
    commands: list[list[str]] = json.loads(sender.communicate()[0])
    log = (stage.marks.parent / "workers.log").open("ab")
    running = [
        subprocess.Popen(c, cwd=HERE, env=stage.env(peer), stdout=log, stderr=log, start_new_session=True)
        for c in commands
    ]
    try:
        if commands:
            warming = stage.send(peer, "many", "noop" if case == "stamp" else case, str(WARM_UP))
            stage.wait_for(WARM_UP, [warming])
            warming.communicate()
        time.sleep(SETTLE_S)
        stage.marks.write_bytes(b"")
        yield
    finally:
        for process in running:
            stop(process)
        log.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """The whole group: prefork children of a killed parent would go on."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def rate(stage: Stage, peer: Peer, case: str, count: int) -> float:
    """Jobs per second, from before the first is sent until the last has run."""
    with working(stage, peer, case):
        sender = stage.send(peer, "many", case, str(count))
        assert sender.stdout is not None, "asked for a pipe"
        began_ns = int(sender.stdout.readline())
        stage.wait_for(count, [sender])
        seconds = (time.monotonic_ns() - began_ns) / 1e9
        sender.communicate()
    return count / seconds


def latencies_ms(stage: Stage, peer: Peer, count: int, pause_s: float) -> list[float]:
    """From the sending to the first line of the body, one job after another."""
    with working(stage, peer, "stamp"):
        sender = stage.send(peer, "one-by-one", str(count), str(pause_s))
        stage.wait_for(count, [sender])
        sender.communicate()
        data = stage.marks.read_bytes()
    return [nanoseconds / 1e6 for (nanoseconds,) in struct.iter_unpack("<q", data)]
