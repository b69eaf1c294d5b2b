"""Signals, kills and a Redis that goes away: nothing is lost, nothing counts twice, nothing is left
running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conductor.adapters.files.receipt_log import accepted
from conductor.adapters.host import cgroup
from conductor.adapters.host.processes import kill_session
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.failure_outcome import Retry
from conductor.model.spec import JobSpec, Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.strays import folders_of, getting_away, needs_cgroups, the_stray, wait_gone
from tests.worker_scene import (
    QUEUE,
    WorkerScene,
    a_scene,
    is_alive,
    signal_twice,
    wait_file,
    wait_until,
)
from workers.system.process_tree import children_of


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def a_waiting_spec(folder: Path, n: int = 0, **more: object) -> JobSpec:
    args = {"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}"), **more}
    return a_spec(n, task="mine.wait", args=args, writes=(Output(path=f"published:{n}.txt"),))


def test_sigterm_lets_the_job_in_hand_finish(scene: WorkerScene, tmp_path: Path):
    spec, next_one = scene.put(a_waiting_spec(tmp_path)), scene.put(a_spec(9, task="mine.write"))
    worker = scene.worker()
    wait_file(tmp_path / "begun0")

    worker.send_signal(signal.SIGTERM)
    (tmp_path / "until0").touch()

    assert worker.wait(20) == 0
    assert scene.state(spec) == "done"
    assert scene.state(next_one) == "admitted"
    assert scene.ledger.handover.queued() == {QUEUE: 1}


def test_an_idle_worker_leaves_at_once(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.warm"))
    worker = scene.worker()
    scene.wait_state(spec, "done")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(5) == 0
    late = scene.put(a_spec(2, task="mine.warm"))
    assert scene.state(late) == "admitted"


def test_a_second_signal_gives_the_attempt_back(scene: WorkerScene, tmp_path: Path):
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    child = int(wait_file(tmp_path / "begun0"))

    signal_twice(worker)

    assert worker.wait(20) == 0
    assert scene.state(spec) == "waiting"
    assert [(r.outcome, r.cause) for r in scene.receipts(spec)] == [("failed", "worker_lost")]
    assert not is_alive(child)
    assert not scene.staged()


def test_a_killed_worker_takes_a_deaf_body_along(scene: WorkerScene, tmp_path: Path):
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    child = int(wait_file(tmp_path / "begun0"))

    worker.kill()

    wait_until(lambda: not is_alive(child), "it is gone")
    assert scene.state(spec) == "running"
    assert scene.receipts(spec) == []


def test_a_killed_worker_takes_the_programs_of_its_child_along(scene: WorkerScene, tmp_path: Path):
    scene.put(a_waiting_spec(tmp_path, program=["sleep", "1000"]))
    worker = scene.worker()
    child = int(wait_file(tmp_path / "begun0"))
    wait_until(lambda: any(map(is_sleeping, children_of(child))), "the program runs")
    (program,) = children_of(child)
    # Stopped, the child cannot end its program itself: only the kernel can.
    os.kill(child, signal.SIGSTOP)

    worker.kill()

    wait_until(lambda: not is_alive(child) and not is_alive(program), "both are gone")


def is_sleeping(pid: int) -> bool:
    """It is `sleep` by now, and not on its way to become it, nor gone."""
    with suppress(OSError):
        return (Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]).endswith(b"sleep")
    return False


def test_a_killed_child_costs_one_attempt_and_no_program_lives_on(scene: WorkerScene, tmp_path: Path):
    shell = ["sh", "-c", "setsid sleep 1000 & sleep 1000"]
    spec = scene.put(a_waiting_spec(tmp_path, program=shell))
    scene.worker()
    child = int(wait_file(tmp_path / "begun0"))
    wait_until(lambda: sum(map(is_sleeping, family(child))) == 2, "both sleeps run")
    everyone = family(child)

    os.kill(child, signal.SIGKILL)

    (receipt,) = scene.wait_state(spec, "waiting")
    assert receipt.cause == "worker_lost" and "SIGKILL" in receipt.message
    wait_until(lambda: not any(map(is_alive, everyone)), "nobody is left")


def test_a_killed_body_goes_on_where_it_was(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.count"))
    scene.worker()
    scene.wait_state(spec, "waiting")

    scene.admit(spec, attempt=2)

    receipts = scene.wait_state(spec, "done")
    assert [(r.outcome, r.cause) for r in receipts[:1]] == [("failed", "worker_lost")]
    assert receipts[-1].result == {"from": 6}


def test_sigterm_to_a_body_alone_is_a_lost_worker(scene: WorkerScene, tmp_path: Path):
    spec = scene.put(a_waiting_spec(tmp_path))
    scene.worker()

    os.kill(int(wait_file(tmp_path / "begun0")), signal.SIGTERM)

    (receipt,) = scene.wait_state(spec, "waiting")
    assert receipt.cause == "worker_lost" and "SIGTERM, from outside" in receipt.message


@pytest.mark.skipif(sys.platform != "linux", reason="whether a child is stopped is read from /proc")
def test_a_body_that_somebody_has_stopped_costs_one_attempt_and_its_job_is_done(
    scene: WorkerScene, tmp_path: Path
):
    spec = scene.put(a_waiting_spec(tmp_path))
    scene.worker(CONDUCTOR_TIMING__LEASE_S="1.5")

    os.kill(int(wait_file(tmp_path / "begun0")), signal.SIGSTOP)

    (receipt,) = scene.wait_state(spec, "waiting")
    assert receipt.cause == "worker_lost" and "stood still" in receipt.message


@pytest.mark.skipif(sys.platform != "linux", reason="whether a child is stopped is read from /proc")
def test_a_child_that_was_stopped_while_it_had_nothing_to_do_costs_the_next_job_nothing(scene: WorkerScene):
    first = scene.put(a_spec(task="mine.write"))
    scene.worker(CONDUCTOR_TIMING__LEASE_S="1.5")
    (receipt,) = scene.wait_state(first, "done")
    child = int(receipt.result["pid"])

    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: not is_alive(child), "it is replaced")

    (second,) = scene.wait_state(scene.put(a_spec(2, task="mine.write")), "done")
    assert second.attempt == 1 and second.result["pid"] != child


def kill_with_a_stray(scene: WorkerScene, tmp_path: Path) -> tuple[int, int]:
    """A worker is killed while its body is at work; its pid, and that of the process that got away.

    Again where a node of another test, which sweeps up after all workers of this host, was quicker."""
    for n in range(5):
        scene.put(a_waiting_spec(tmp_path, n, program=getting_away(tmp_path / f"stray{n}")))
        worker = scene.worker()
        child, stray = int(wait_file(tmp_path / f"begun{n}")), the_stray(tmp_path / f"stray{n}")
        # Stopped, the child cannot end its orphans itself.
        os.kill(child, signal.SIGSTOP)
        worker.kill()
        worker.wait()
        wait_gone(child)
        if is_alive(stray):
            return worker.pid, stray
    raise AssertionError("it was ended with its worker each time")


@needs_cgroups
def test_who_got_away_from_all_but_its_cgroup_is_ended_with_the_worker(scene: WorkerScene, tmp_path: Path):
    worker, stray = kill_with_a_stray(scene, tmp_path)

    kill_session(worker)  # As its node does, at once.

    wait_gone(stray)
    cgroup.sweep(10.0)
    assert folders_of(worker) == []


@needs_cgroups
def test_what_workers_of_a_dead_node_left_is_swept_up_by_the_next_one(scene: WorkerScene, tmp_path: Path):
    worker, stray = kill_with_a_stray(scene, tmp_path)

    assert cgroup.sweep(10.0) > 0

    wait_gone(stray)
    assert folders_of(worker) == []


@needs_cgroups
def test_no_cgroup_is_left_of_a_worker_that_ended(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.write"))
    worker = scene.worker()
    scene.wait_state(spec, "done")
    assert len(folders_of(worker.pid)) == 1

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(20) == 0
    assert folders_of(worker.pid) == []


def family(pid: int) -> list[int]:
    return [pid, *(p for child in children_of(pid) for p in family(child))]


@pytest.mark.parametrize("lease_s", ["0.6", "60"])
def test_a_late_attempt_publishes_nothing(scene: WorkerScene, tmp_path: Path, lease_s: str):
    """Also one that wakes while its lease, by its own clock, is good: the next attempt has swept its files
    away.
    """
    spec = scene.put(a_waiting_spec(tmp_path))
    slow = scene.worker(CONDUCTOR_TIMING__LEASE_S=lease_s)
    wait_file(tmp_path / "begun0")
    slow.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        slow.wait(0.7)

    assert scene.ledger.orphans.rescue(spec.id, 1, "stopped for too long", Retry())
    scene.admit(spec, 2)
    (tmp_path / "until0").touch()
    scene.worker()
    (second,) = scene.wait_state(spec, "done")
    slow.send_signal(signal.SIGCONT)
    slow.send_signal(signal.SIGTERM)

    assert slow.wait(20) == 0
    assert [receipt.attempt for receipt in scene.receipts(spec)] == [second.attempt] == [2]
    assert (scene.folder / "published/0.txt").read_text() == "attempt 2"
    assert not scene.staged()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[WorkerScene, Settings]]:
    """A scene on a Valkey of its own, which a test may stop and kill."""
    (tmp_path / CONFIG_NAME).write_text(
        "[timing]\nlease_s = 1.0\n[roots.published]\npath = 'published'\nheadroom_bytes = 0\n",
        encoding="utf-8",
    )
    settings = load(tmp_path)
    with valkey.session(settings.valkey) as url, connect(url) as client:
        scene = a_scene(settings, redis_ledger(client))
        yield scene, settings
        scene.close()


def server_pid(settings: Settings) -> int:
    with valkey.session(settings.valkey) as url, connect(url) as client:
        return int(client.info("server")["process_id"])


def test_redis_stopped_during_a_job_costs_nothing(mortal: tuple[WorkerScene, Settings], tmp_path: Path):
    scene, settings = mortal
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    wait_file(tmp_path / "begun0")
    server = server_pid(settings)

    os.kill(server, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.1)  # The lease (1 s) runs out:
    (tmp_path / "until0").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.5)  # nothing may be published before Redis has said that the job is still ours.
    assert not (scene.folder / "published/0.txt").exists()
    os.kill(server, signal.SIGCONT)

    scene.wait_state(spec, "done")
    assert list(accepted(scene.receipts())) == [spec.id]
    assert (scene.folder / "published/0.txt").read_text() == "attempt 1"
    assert worker.poll() is None


def test_redis_killed_and_started_again_during_a_job_costs_nothing(
    mortal: tuple[WorkerScene, Settings], tmp_path: Path
):
    scene, settings = mortal
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    wait_file(tmp_path / "begun0")
    server = server_pid(settings)

    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_alive(server), "the server is gone")
    (tmp_path / "until0").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(2.0)

    with valkey.session(settings.valkey):
        scene.wait_state(spec, "done")
        scene.settle()
        after = scene.put(a_spec(7, task="mine.write"))
        scene.wait_state(after, "done")
        assert len(scene.receipts()) == 2
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0


def test_a_worker_that_has_to_leave_does_not_wait_for_redis(
    mortal: tuple[WorkerScene, Settings], tmp_path: Path
):
    scene, settings = mortal
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    child = int(wait_file(tmp_path / "begun0"))
    server = server_pid(settings)
    os.kill(server, signal.SIGKILL)

    signal_twice(worker)

    assert worker.wait(20) == 0
    assert not is_alive(child)
    assert scene.receipts(spec) == []
