"""The worker in reserve, over real processes: what it is told, what becomes of it when it dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from conductor.adapters.host.processes import spawn
from conductor.node.spare_worker import FIRST_S, REST_S, Spare

#: Says what it was told.
PROGRAM = "import sys; print(sys.stdin.readline(), end='')"


class SpareWorld:
    def __init__(self) -> None:
        self.now = 100.0
        self.started: list[subprocess.Popen[bytes]] = []
        self.program = PROGRAM
        self.spare = Spare(self._start, lambda: self.now)

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", self.program]
        self.started.append(spawn(argv, output=subprocess.PIPE, stdin=subprocess.PIPE))
        return self.started[-1]


@pytest.fixture
def world() -> Iterator[SpareWorld]:
    world = SpareWorld()
    yield world
    world.spare.close()
    for process in world.started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_it_is_started_once_the_node_has_run_for_a_while_and_told_whom_it_replaces(world: SpareWorld):
    assert world.spare.take(["--queue", "q"], {}) is None, "there is none yet"
    assert world.spare.tend() == pytest.approx(FIRST_S)
    world.now += FIRST_S - REST_S / 2
    assert world.spare.take(["--queue", "q"], {}) is None, "a worker died that was just born"
    assert world.spare.tend() == pytest.approx(REST_S)
    world.now += REST_S
    assert world.spare.tend() is None
    assert world.spare.tend() is None
    assert len(world.started) == 1, "at most one"

    process = world.spare.take(["--queue", "q"], {"CUDA_VISIBLE_DEVICES": "GPU-1"})

    assert process is world.started[0]
    assert process.stdout is not None
    assert process.stdout.read() == b'{"argv":["--queue","q"],"env":{"CUDA_VISIBLE_DEVICES":"GPU-1"}}\n'
    assert world.spare.take(["--queue", "q"], {}) is None
    world.now += REST_S
    world.spare.tend()
    assert len(world.started) == 2, "and another for the next death"


def test_a_spare_that_died_is_replaced_ever_later_and_never_handed_out(world: SpareWorld):
    world.program = "raise SystemExit(1)"
    world.now += FIRST_S
    waits: list[float] = []
    for _ in range(4):
        world.spare.tend()
        world.started[-1].wait()
        wait = world.spare.tend()
        waits.append(wait or 0.0)
        world.now += wait or 0.0
    assert waits == sorted(waits)
    assert waits[-1] > 0
    world.spare.close()
    world.now += 100
    assert world.spare.tend() is None
    assert world.spare.take(["--queue", "q"], {}) is None
