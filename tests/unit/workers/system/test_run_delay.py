"""Who had a core, by the scheduler's account: with a process beside that wants the same one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from workers.system.run_delay import RunDelay, ran_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the account is Linux's")
LIMIT_S = 30.0


@contextmanager
def a_rival(body: str) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", body])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_waiting_for_a_core_that_another_has_is_told():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # The rival has the same one: children inherit it.
    try:
        with a_rival("while True: pass"):
            delay, until = RunDelay(), time.monotonic() + LIMIT_S
            before = delay.seconds()
            while delay.seconds() - before < 0.002:
                assert time.monotonic() < until, "two want one core, and nobody waited"
    finally:
        os.sched_setaffinity(0, cores)


def test_a_sleep_is_no_wait_for_a_core():
    delay = RunDelay()
    # The clock is read around the account: a wait between the two would count as delay alone.
    began, before = time.monotonic(), delay.seconds()
    time.sleep(0.05)
    waited = delay.seconds() - before
    assert time.monotonic() - began - waited >= 0.05


def test_who_sleeps_or_is_gone_could_not_run_and_who_counts_has_run():
    with a_rival("while True: pass") as busy:
        until = time.monotonic() + LIMIT_S
        while not ran_s(busy.pid):
            assert time.monotonic() < until
    assert ran_s(busy.pid) is None
    with a_rival("import signal; signal.pause()") as asleep:
        until = time.monotonic() + LIMIT_S
        while ran_s(asleep.pid) is not None:
            assert time.monotonic() < until
