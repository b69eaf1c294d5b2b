"""The supervisor over real processes, which are sleeps instead of workers; the clock is the test's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from msgspec import structs

from conductor.adapters.host.processes import spawn
from conductor.adapters.host.stopped_processes import is_stopped
from conductor.model.worker import RETIRED
from conductor.node.queue_plan import QueuePlan
from conductor.node.restart_backoff import SETTLED_S
from conductor.node.start_output import StartOutput
from conductor.node.supervisor import Supervisor

CPU = QueuePlan(queue="cpu-here", lane="cpu", workers=2)
SLEEP = "import time; time.sleep(60)"
#: Leaves a child of its own session behind when it is killed.
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
time.sleep(60)
"""


class SupervisorWorld:
    def __init__(self) -> None:
        self.now = 100.0
        self.program = SLEEP
        self.launched: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.supervisor = self.a_supervisor()

    def a_supervisor(self, *, starts_all: bool = True) -> Supervisor:
        return Supervisor(self._launch, 10.0, lambda: self.now, starts_all=starts_all)

    def _launch(self, plan: QueuePlan, name: str, overheard: StartOutput | None) -> subprocess.Popen[bytes]:
        self.launched.append(name)
        output = overheard.file if overheard else subprocess.DEVNULL
        self.processes.append(spawn([sys.executable, "-c", self.program], output=output))
        return self.processes[-1]

    def start(self, *plans: QueuePlan) -> None:
        self.supervisor.plan(plans)
        self.supervisor.start_due()

    def workers(self) -> dict[str, int]:
        return {report.queue: report.workers for report in self.supervisor.queues()}

    def die(self, index: int, sign: signal.Signals = signal.SIGKILL):
        self.processes[index].send_signal(sign)
        deaths = []
        until(lambda: deaths.extend(self.supervisor.reap()) or deaths)
        return deaths


@pytest.fixture
def world() -> Iterator[SupervisorWorld]:
    it = SupervisorWorld()
    yield it
    it.supervisor.kill()
    for process in it.processes:
        process.wait()
    it.supervisor.reap()


def until(is_true: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_as_many_workers_as_planned_each_with_a_name_of_its_own(world: SupervisorWorld):
    world.start(CPU)
    assert world.workers() == {"cpu-here": 2}
    assert len(set(world.launched)) == 2
    world.start(CPU)
    assert len(world.launched) == 2


def test_a_killed_worker_is_named_with_its_signal_and_replaced_under_another_name(world: SupervisorWorld):
    world.start(CPU)
    (death,) = world.die(0)
    assert death.worker == world.launched[0] and death.exit_code == -9
    assert death.message == f"worker {death.worker} (pid {death.pid}) was killed by SIGKILL"
    assert world.workers() == {"cpu-here": 1}

    world.supervisor.start_due()

    assert world.workers() == {"cpu-here": 2}
    assert len(set(world.launched)) == 3


def test_a_worker_that_somebody_has_stopped_is_said_and_replaced_after_a_lease(world: SupervisorWorld):
    world.start(QueuePlan(queue="cpu-here", lane="cpu", workers=1))
    process = world.processes[0]
    process.send_signal(signal.SIGSTOP)
    until(lambda: is_stopped(process.pid))
    assert world.supervisor.reap() == []
    (note,) = world.supervisor.notes()
    assert (
        note
        == f"worker {world.launched[0]} (pid {process.pid}) is stopped by a signal; it is replaced after 10 s"
    )
    assert world.supervisor.next_look_s == 1.0

    world.now += 9
    assert world.supervisor.reap() == []
    world.now += 3
    deaths = []
    until(lambda: deaths.extend(world.supervisor.reap()) or deaths)

    assert deaths[0].message == (
        f"worker {world.launched[0]} (pid {process.pid}) stood still for 12 s, stopped by a signal"
    )
    world.supervisor.start_due()
    assert world.workers() == {"cpu-here": 1} and world.supervisor.notes() == ()


def test_one_that_is_woken_in_time_goes_on(world: SupervisorWorld):
    world.start(QueuePlan(queue="cpu-here", lane="cpu", workers=1))
    for sign in (signal.SIGSTOP, signal.SIGCONT):
        world.processes[0].send_signal(sign)
        until(lambda sign=sign: is_stopped(world.processes[0].pid) == (sign == signal.SIGSTOP))
        world.supervisor.reap()
        world.now += 6
    assert world.supervisor.reap() == [] and world.supervisor.next_look_s is None


def test_workers_that_die_at_start_are_started_ever_more_rarely_and_said(world: SupervisorWorld):
    world.program = "raise SystemExit('no such sword')"
    world.start(QueuePlan(queue="cpu-here", lane="cpu", workers=1))
    for expected in (0, 0.25, 0.5):
        until(world.supervisor.reap)
        assert world.supervisor.next_look_s == pytest.approx(expected)
        world.now += expected
        world.supervisor.start_due()
    words = "exit code 1: no such sword"
    assert world.supervisor.notes() == (f"workers of cpu-here keep dying at start: {words}",)
    (queue,) = world.supervisor.queues()
    assert (queue.workers, queue.dying) == (0, words), "nothing is handed to one that has just been started"


def test_one_that_lives_after_others_died_at_start_counts_once_it_has_lived_for_a_while(
    world: SupervisorWorld,
):
    world.program = "raise SystemExit(1)"
    world.start(QueuePlan(queue="cpu-here", lane="cpu", workers=1))
    for wait_s in (0, 0.25, 0.5):
        until(world.supervisor.reap)
        world.now += wait_s
        world.program = SLEEP if wait_s == 0.5 else world.program
        world.supervisor.start_due()
    (queue,) = world.supervisor.queues()
    assert (queue.workers, queue.dying) == (0, "exit code 1, and said nothing")
    assert world.supervisor.next_look_s == SETTLED_S
    world.now += SETTLED_S
    (queue,) = world.supervisor.queues()
    assert (queue.workers, queue.dying) == (1, "") and world.supervisor.notes() == ()


def test_what_a_dead_worker_left_running_is_killed_before_its_job_is_free(world: SupervisorWorld):
    world.program = PARENT
    world.start(QueuePlan(queue="cpu-here", lane="cpu", workers=1))
    worker = psutil.Process(world.processes[0].pid)
    until(worker.children)
    (body,) = worker.children()

    world.die(0)

    until(lambda: not body.is_running() or body.status() == psutil.STATUS_ZOMBIE)


def test_a_drain_tells_all_to_go_and_replaces_nobody(world: SupervisorWorld):
    world.start(CPU)
    world.supervisor.drain()

    def is_empty() -> bool:
        world.supervisor.reap()
        return world.supervisor.is_empty

    until(is_empty)
    world.start(CPU)
    assert len(world.launched) == 2 and world.workers() in ({}, {"cpu-here": 0})


def test_a_queue_that_is_no_longer_planned_loses_its_workers_gently(world: SupervisorWorld):
    gpu = QueuePlan(queue="gpu-here-gpu0", lane="gpu", workers=1, device="gpu0", uuid="GPU-0")
    world.start(QueuePlan(queue="gpu-here", lane="gpu", workers=1))
    world.start(gpu)
    assert world.workers() == {"gpu-here": 0, "gpu-here-gpu0": 1}
    until(world.supervisor.reap)
    world.supervisor.start_due()
    assert world.workers() == {"gpu-here-gpu0": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux's")
def test_children_go_when_their_parent_is_killed():
    code = (
        "import sys, time; from conductor.adapters.host.processes import spawn;"
        "print(spawn([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        # The death signal is set before the program begins.
        until(lambda: "die_with_parent.py" not in " ".join(child.cmdline()))
        parent.kill()
    child.wait(10)


def test_workers_of_a_device_that_is_another_card_now_go_and_others_come(world: SupervisorWorld):
    gpu = QueuePlan(queue="gpu-here-gpu0", lane="gpu", workers=1, device="gpu0", uuid="GPU-a")
    world.start(gpu)

    world.start(gpu)
    assert len(world.launched) == 1
    world.start(structs.replace(gpu, uuid="GPU-b"))

    assert len(world.launched) == 2
    assert world.workers() == {"gpu-here-gpu0": 1}
    world.processes[0].wait(5.0)
    assert [death.worker for death in world.supervisor.reap()] == world.launched[:1]


@pytest.fixture
def sleepers(world: SupervisorWorld) -> SupervisorWorld:
    """Its workers start when they are called."""
    world.supervisor = world.a_supervisor(starts_all=False)
    world.start(CPU, QueuePlan(queue="io-here", lane="io", workers=1))
    return world


def called(world: SupervisorWorld, **waiting: int) -> list[str]:
    """The queues of the workers that start when so much waits."""
    before = len(world.launched)
    world.supervisor.call({f"{lane}-here": entries for lane, entries in waiting.items()})
    world.supervisor.start_due()
    return [name.rpartition("-")[0] for name in world.launched[before:]]


def test_places_whose_workers_are_not_started_count_for_what_can_be_handed_over(sleepers: SupervisorWorld):
    assert sleepers.launched == [] and sleepers.supervisor.has_asleep
    assert sleepers.workers() == {"cpu-here": 2, "io-here": 1}
    assert sleepers.supervisor.next_look_s is None


def test_as_many_are_started_as_entries_wait_those_on_their_way_among_them(sleepers: SupervisorWorld):
    assert called(sleepers, cpu=1) == ["cpu-here"]
    assert called(sleepers, cpu=1) == [], "that one has not taken it yet"
    assert called(sleepers, cpu=2, io=5, gpu=1) == ["cpu-here", "io-here"]
    assert not sleepers.supervisor.has_asleep
    assert sleepers.workers() == {"cpu-here": 2, "io-here": 1}


def test_another_one_is_called_where_the_first_is_busy_and_something_still_waits(sleepers: SupervisorWorld):
    called(sleepers, cpu=1)
    sleepers.now += 2
    assert called(sleepers, cpu=1) == ["cpu-here"]


def test_who_retired_is_not_replaced_until_something_waits(sleepers: SupervisorWorld):
    sleepers.program = f"raise SystemExit({RETIRED})"
    called(sleepers, io=1)
    deaths = []
    until(lambda: deaths.extend(sleepers.supervisor.reap()) or deaths)
    assert deaths[0].has_retired
    assert called(sleepers) == [] and sleepers.supervisor.next_look_s is None
    assert sleepers.workers() == {"cpu-here": 2, "io-here": 1}
    assert called(sleepers, io=1) == ["io-here"]


def test_who_was_killed_is_replaced_at_once_though_nothing_waits(sleepers: SupervisorWorld):
    called(sleepers, cpu=1)
    sleepers.die(0)
    assert called(sleepers) == ["cpu-here"]


def test_where_workers_die_at_start_those_that_never_started_do_not_count(sleepers: SupervisorWorld):
    sleepers.program = "raise SystemExit('no such sword')"
    called(sleepers, cpu=1)
    for _ in range(3):
        until(sleepers.supervisor.reap)
        sleepers.now += 1
        called(sleepers)
    until(sleepers.supervisor.reap)
    assert sleepers.workers() == {"cpu-here": 0, "io-here": 1}
    (cpu, _) = sleepers.supervisor.queues()
    assert cpu.dying == "exit code 1: no such sword"


def test_a_drain_starts_nobody_for_what_still_waits(sleepers: SupervisorWorld):
    sleepers.supervisor.drain()
    assert called(sleepers, cpu=2) == [] and sleepers.supervisor.is_empty
    assert not sleepers.supervisor.has_asleep
