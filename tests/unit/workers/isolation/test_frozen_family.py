"""Bodies that stand still: real processes that are stopped and go on, and limits that stand with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import psutil
import pytest

from conductor.adapters.host.freezing import (
    FrozenNote,
    end_leftovers,
    give_word,
    put_note,
    take_word_back,
    word,
    word_file,
)
from conductor.adapters.host.known_process import KnownProcess, is_there, of_process
from conductor.adapters.host.stopped_processes import is_stopped
from workers.attempt.freezer import Freezer
from workers.isolation.frozen_family import FrozenFamily, still_s
from workers.isolation.held_attempt import FAR_S, Held
from workers.machine.body_watch import DEADLINE_GRACE_S, BodyWatch

WHY = "somebody is at this machine"
#: Counts up, and has a program below it that does too.
COUNTS = """
import os, subprocess, sys, time
file = sys.argv[1]
below = subprocess.Popen([sys.executable, __file__, file + ".below"]) if len(sys.argv) > 2 else None
n = 0
while True:
    n += 1
    open(file + ".draft", "w").write(str(n)); os.replace(file + ".draft", file)
    time.sleep(0.002)
"""


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def a_held() -> Held:
    reservation: Any = SimpleNamespace(job_id="job00001", attempt=1, task="mine.count")
    meter: Any = SimpleNamespace(usage=lambda: None, pid=0)
    return Held(reservation, meter, 0.0)


class Counting:
    """A body with a program below it."""

    def __init__(self, folder: Path) -> None:
        (folder / "counts.py").write_text(COUNTS)
        self.files = folder / "n", folder / "n.below"
        self.process = subprocess.Popen([sys.executable, folder / "counts.py", self.files[0], "below"])
        self.note, self.family, self.held = folder / "notes/w.json", FrozenFamily(), a_held()
        wait_until(lambda: all(file.exists() for file in self.files))

    def counts(self) -> list[int]:
        return [int(file.read_text()) for file in self.files]

    def go_on(self) -> bool:
        before = self.counts()
        time.sleep(0.05)
        return all(now > then for then, now in zip(before, self.counts(), strict=True))

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def freeze(self) -> bool:
        return self.family.begin(self.process.pid, self.held, WHY, self.note)


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Counting]:
    it = Counting(tmp_path)
    pids = it.pids()
    yield it
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    it.process.wait()


def test_a_body_and_all_below_it_stand_and_go_on(counting: Counting):
    assert counting.freeze()
    wait_until(lambda: all(map(is_stopped, counting.pids())))
    before = counting.counts()
    assert (counting.held.frozen_for, counting.note.exists(), counting.family.is_on) == (WHY, True, True)
    assert not counting.freeze(), "once is enough"
    time.sleep(0.1)
    assert counting.counts() == before

    assert counting.family.end()

    wait_until(counting.go_on)
    assert not counting.note.exists() and counting.held.frozen_since is None
    assert counting.held.frozen_s >= 0.1
    assert still_s(counting.family.fd) == pytest.approx(counting.held.frozen_s)
    assert not counting.family.end()


def test_a_clock_that_is_set_leaves_nothing_stopped(counting: Counting, monkeypatch: pytest.MonkeyPatch):
    """psutil works out when a process was created by the time of the boot, and that by the clock."""
    counting.freeze()
    real = psutil._pslinux.boot_time
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: real() + 3600)
    counting.family.end()
    wait_until(counting.go_on)


def test_what_somebody_else_has_stopped_is_not_woken(counting: Counting):
    _, below = counting.pids()
    os.kill(below, signal.SIGSTOP)
    wait_until(lambda: is_stopped(below))
    counting.freeze()
    counting.family.end()
    wait_until(lambda: not is_stopped(counting.process.pid))
    assert is_stopped(below)


def test_whom_somebody_wakes_meanwhile_is_stopped_again(counting: Counting):
    counting.freeze()
    for pid in counting.pids():
        os.kill(pid, signal.SIGCONT)
    wait_until(counting.go_on)
    counting.family.stay(counting.held)
    wait_until(lambda: all(map(is_stopped, counting.pids())))
    counting.family.end()


def test_a_body_that_is_to_leave_goes_on_and_is_not_stopped_again_but_the_next_one_may_be(counting: Counting):
    counting.freeze()
    counting.family.end(is_barred=True)
    wait_until(counting.go_on)
    assert not counting.freeze()
    counting.family.next_begins()
    assert counting.freeze()
    counting.family.end()


def test_the_attempt_that_runs_is_the_one_that_is_told_to_be_frozen(counting: Counting):
    later = a_held()
    counting.freeze()
    counting.family.stay(later)
    counting.family.end()
    assert counting.held.frozen_since is None and later.frozen_s > 0


def as_of_another_worker(note: Path) -> None:
    """It is gone, and this process has its pid."""
    said = msgspec.json.decode(note.read_bytes(), type=FrozenNote)
    worker = msgspec.structs.replace(said.worker, started=said.worker.started - 100)
    note.write_bytes(msgspec.json.encode(msgspec.structs.replace(said, worker=worker)))


def test_a_process_of_before_the_last_boot_is_another_one():
    known = of_process(os.getpid())
    assert known is not None and is_there(known)
    assert not is_there(KnownProcess(pid=known.pid, started=known.started, boot="an earlier one"))


def test_what_a_dead_worker_had_frozen_is_ended_and_what_a_live_one_has_is_left(counting: Counting):
    counting.freeze()
    folder = counting.note.parent
    wait_until(lambda: is_stopped(counting.process.pid))
    end_leftovers(folder)
    assert is_stopped(counting.process.pid), "its worker, this process, lives"
    as_of_another_worker(counting.note)
    pids = counting.pids()

    end_leftovers(folder)

    assert counting.process.wait() == -signal.SIGKILL
    wait_until(
        lambda: not Path(f"/proc/{pids[1]}").exists() or b") Z" in Path(f"/proc/{pids[1]}/stat").read_bytes()
    )
    assert not counting.note.exists()


def test_a_pid_that_another_process_has_now_is_not_killed(counting: Counting):
    record = of_process(counting.process.pid)
    assert record is not None
    put_note(counting.note, [msgspec.structs.replace(record, started=record.started - 100)])
    as_of_another_worker(counting.note)
    end_leftovers(counting.note.parent)
    assert counting.go_on()


def test_a_node_s_word_counts_as_long_as_it_lives(tmp_path: Path):
    file = word_file(tmp_path, "here")
    assert word(file) is None
    give_word(file, WHY)
    assert word(file) == WHY
    text = file.read_bytes()
    file.write_bytes(text.replace(b'"pid":%d' % os.getpid(), b'"pid":1'))
    assert word(file) is None, "another process has its pid"
    take_word_back(file)
    assert not file.exists()


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Of the module `time` in what is held."""
    it = SimpleNamespace(now=1000.0)
    it.monotonic = it.time = lambda: it.now
    monkeypatch.setattr("workers.isolation.held_attempt.time", it)
    return it


def a_watch(clock: SimpleNamespace, timeout_s: float = 60.0, stall_s: float = 0.0) -> BodyWatch:
    request = SimpleNamespace(timeout_s=timeout_s, stall_s=stall_s)
    return BodyWatch(cast(Any, SimpleNamespace(request=request, held=a_held())), clock.now)


def test_the_deadline_is_later_by_exactly_the_time_that_it_stood(clock: SimpleNamespace):
    watch = a_watch(clock)
    held, first = watch.attempt.held, watch.until
    assert first == 1060.0 + DEADLINE_GRACE_S
    clock.now += 50
    held.freeze(WHY, 0.0, clock.now)
    assert watch.until >= clock.now + FAR_S / 2, "nobody waits for it meanwhile"
    clock.now += 7200
    assert watch.overdue(clock.now) is None
    held.thaw(clock.now)
    assert watch.until == first + 7200
    clock.now = first + 7200 - 0.001
    assert watch.overdue(clock.now) is None
    clock.now += 0.001
    fault = watch.overdue(clock.now)
    assert fault is not None and fault.cause == "timeout"


def test_no_progress_of_a_frozen_body_is_not_held_against_it(clock: SimpleNamespace):
    watch = a_watch(clock, 1e5, stall_s=10.0)
    held = watch.attempt.held
    for _ in range(2):
        clock.now += 6
        held.freeze(WHY, 0.0, clock.now)
        clock.now += 500
        held.thaw(clock.now)
        assert watch.overdue(clock.now) is None and held.report(clock.now).quiet_s == 6
        watch.note(0.5, "", clock.now)
        assert held.report(clock.now).quiet_s == 0
    clock.now += 10
    fault = watch.overdue(clock.now)
    assert fault is not None and fault.cause == "stalled"


# ── the worker's part ─────────────────────────────────────────────────────────────────────────────────────


class FrozenFamilyScene:
    def __init__(self, folder: Path) -> None:
        self.frozen: list[Held] = []
        family = SimpleNamespace(is_on=False, end=self._end, stay=lambda held: None)
        self.host = SimpleNamespace(frozen=family, freeze=self._freeze)
        self.stopping = SimpleNamespace(is_asked=False, wake=lambda: None, wake_keeper=lambda: None)
        self.hand = SimpleNamespace(given=[SimpleNamespace(held=a_held())])
        self.file = word_file(folder, "here")
        self.freezer = Freezer(cast(Any, self.host), cast(Any, self.stopping), folder, "here", "w1")

    def _freeze(self, held: Held, why: str, note: Path) -> bool:
        self.host.frozen.is_on = True
        self.frozen.append(held)
        return True

    def _end(self) -> bool:
        was_on, self.host.frozen.is_on = self.host.frozen.is_on, False
        return was_on

    def look(self) -> bool:
        self.freezer.look(self.hand)
        return self.host.frozen.is_on


def test_a_worker_freezes_what_runs_while_its_node_says_so(tmp_path: Path):
    scene = FrozenFamilyScene(tmp_path)
    assert not scene.look()
    give_word(scene.file, WHY)
    assert scene.look() and scene.frozen == [scene.hand.given[0].held]
    assert scene.look() and len(scene.frozen) == 1
    take_word_back(scene.file)
    assert not scene.look()


@pytest.mark.parametrize("what", ["nothing runs", "told to leave"])
def test_a_worker_that_has_nothing_in_hand_or_is_to_leave_freezes_nothing(tmp_path: Path, what: str):
    scene = FrozenFamilyScene(tmp_path)
    give_word(scene.file, WHY)
    assert scene.look()
    scene.stopping.is_asked = what == "told to leave"
    scene.hand.given = [] if what == "nothing runs" else scene.hand.given
    assert not scene.look()
