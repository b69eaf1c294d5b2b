"""A worker through what a night brings: Redis away, Redis full, pauses past the lease, a drain and new
code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_scene import Command, NodeScene, configure, until
from redis import Redis

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.failure_outcome import Retry
from conductor.model.spec import JobSpec, Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import WorkerScene, a_scene, is_alive, wait_file, wait_until


def a_waiting_spec(folder: Path, n: int = 0) -> JobSpec:
    args = {"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}")}
    return a_spec(n, task="mine.wait", args=args, writes=(Output(path=f"published:{n}.txt"),))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[WorkerScene, Settings, Redis]]:
    """A scene on a Valkey of its own, which a test may kill, stop or fill."""
    (tmp_path / CONFIG_NAME).write_text(
        "[timing]\nlease_s = 2.0\n[roots.published]\npath = 'published'\nheadroom_bytes = 0\n",
        encoding="utf-8",
    )
    settings = load(tmp_path)
    with valkey.session(settings.valkey) as url, connect(url) as client:
        scene = a_scene(settings, redis_ledger(client))
        yield scene, settings, client
        scene.close()


def away(scene: WorkerScene, settings: Settings, client: Redis, spell_s: float, folder: Path) -> None:
    """Redis is killed while a job runs; the body ends; Redis comes back after so long: published once, by
    the same.
    """
    spec = scene.put(a_waiting_spec(folder))
    worker = scene.worker()
    wait_file(folder / "begun0")
    server = int(client.info("server")["process_id"])  # type: ignore[index]
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_alive(server), "the server is gone")
    (folder / "until0").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(spell_s)
    with valkey.session(settings.valkey):
        receipts = scene.wait_state(spec, "done")
        assert [(r.outcome, r.attempt) for r in receipts] == [("ok", 1)]
        assert list(accepted(scene.receipts())) == [spec.id]
        assert (scene.folder / "published/0.txt").read_text() == "attempt 1"
        assert worker.poll() is None


def test_redis_away_for_longer_than_the_lease_costs_nothing(
    mortal: tuple[WorkerScene, Settings, Redis], tmp_path: Path
):
    away(*mortal, 5.0, tmp_path)


@pytest.mark.slow
def test_redis_away_for_a_minute_costs_nothing(mortal: tuple[WorkerScene, Settings, Redis], tmp_path: Path):
    away(*mortal, 60.0, tmp_path)


def test_a_full_redis_is_waited_out(mortal: tuple[WorkerScene, Settings, Redis], tmp_path: Path):
    scene, _, client = mortal
    first, second = scene.put(a_waiting_spec(tmp_path)), scene.put(a_spec(7, task="mine.write"))
    worker = scene.worker()
    wait_file(tmp_path / "begun0")
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    (tmp_path / "until0").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(3.0)
    client.config_set("maxmemory", 0)

    scene.wait_state(first, "done")
    scene.wait_state(second, "done")
    assert sorted(accepted(scene.receipts())) == sorted([first.id, second.id])
    assert [r.outcome for r in scene.receipts()] == ["ok", "ok"]


def test_a_node_stopped_for_longer_than_its_leases_does_no_harm(ledger: Ledger, project: Settings):
    """Its workers go on and renew; its report runs out and comes back; nobody is doubled."""
    scene = NodeScene(ledger, configure(project))
    try:
        node = scene.node()
        job = scene.begin(1)
        os.kill(node.pid, signal.SIGSTOP)
        until(lambda: scene.report() is None)
        os.kill(node.pid, signal.SIGCONT)
        scene.release(1)
        scene.until_state(job, "done")
        until(scene.report)
        assert [r.attempt for r in read_receipts(project.receipts_dir)] == [1]
    finally:
        scene.close()


def test_a_whole_worker_stopped_past_its_lease_publishes_nothing_when_it_wakes(
    ledger: Ledger, project: Settings
):
    scene = NodeScene(ledger, configure(project, CONFIG_SHORT))
    try:
        node = scene.node()
        job = scene.begin(1)
        held = scene.job(job).reservation
        worker = next(w for w in node.workers() if held and held.worker in w.cmdline())
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            process.suspend()
        until(lambda: [r.job_id for r in ledger.orphans.orphans(3)] == [job])
        assert ledger.orphans.rescue(job, 1, "its lease ran out", Retry())
        for process in family:
            process.resume()
        scene.admit(job)
        scene.release(1)
        scene.until_state(job, "done")
        assert [(r.attempt, r.outcome) for r in read_receipts(project.receipts_dir)] == [(2, "ok")]
    finally:
        scene.close()


CONFIG_SHORT = """
node = "here"
[lanes]
gpu.workers = 0
cpu.workers = 2
io.workers = 0
cloud.workers = 0
[timing]
lease_s = 1.0
report_every_s = 0.5
[web]
is_on = false
[dashboard]
port = 0
"""


# ── drain, new code, resume ───────────────────────────────────────────────────────────────────────────────


def test_a_rolling_restart_kills_no_job_and_does_none_twice(ledger: Ledger, project: Settings):
    """drain, exchange the node while its worker's body runs, undo: each job once, the one in hand by the
    old.
    """
    scene = NodeScene(ledger, configure(project, CONFIG_SHORT))
    try:
        old = scene.node()
        conduct = scene.run("conduct")
        running = scene.waits(1)
        scene.until_begun(1)
        said = scene.run("drain", "here")
        assert said.wait() == 0
        assert "1 in flight, nothing new starts" in said.said
        later = [scene.put(n, 0.05) for n in range(2, 8)]
        old.process.send_signal(signal.SIGTERM)
        until(lambda: "Draining" in old.said)
        scene.release(1)
        assert old.wait() == 0
        assert scene.job(running).state == "done"

        new = scene.run("node")
        until(lambda: (report := scene.report()) and report.pid == new.pid)
        time.sleep(1.0)  # Long enough for a conductor that forgot the drain to feed it.
        assert [scene.job(job).state for job in later] == ["waiting"] * len(later)
        assert scene.run("drain", "here", "--undo").wait() == 0
        for job in later:
            scene.until_state(job, "done")

        receipts = list(read_receipts(project.receipts_dir))
        assert {r.outcome for r in receipts} == {"ok"}
        assert sorted(r.job_id for r in receipts) == sorted([running, *later]), "each once"
        assert scene.job(running).attempts == 1
        stop(conduct, new)
    finally:
        scene.close()


def test_a_conductor_and_a_node_exchanged_under_load_lose_nothing(ledger: Ledger, project: Settings):
    scene = NodeScene(ledger, configure(project, CONFIG_SHORT))
    try:
        node, conduct = scene.node(), scene.run("conduct")
        jobs = [scene.put(n, 0.3) for n in range(1, 25)]
        for _ in range(2):
            until(lambda: ledger.tallies.counts()["running"])
            fresh = scene.run("conduct")
            stop(conduct)
            conduct = fresh
            stop(node)
            node = scene.node()
        for job in jobs:
            scene.until_state(job, "done", limit_s=60)
        receipts = list(read_receipts(project.receipts_dir))
        assert [r.outcome for r in receipts if r.outcome != "ok"] == []
        assert sorted(r.job_id for r in receipts) == sorted(jobs)
    finally:
        scene.close()


def stop(*commands: Command) -> None:
    for command in commands:
        command.process.send_signal(signal.SIGTERM)
    assert [command.wait() for command in commands] in (
        [0] * len(commands),
        [130] * len(commands),
        [130, 0],
        [0, 130],
    )
