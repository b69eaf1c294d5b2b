"""The kernel kills for want of memory: seen in the control group, said as the cause; the next attempt asks
for more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host import oom_counter
from conductor.base.settings.settings import Settings
from conductor.model.ledger_entries import HeldReport
from conductor.model.receipt import Usage
from conductor.model.spec import Needs
from conductor.node.orphan_rescue import rescue
from conductor.node.supervisor import Death
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import NODE, QUEUE, REPOSITORY, WorkerScene, a_scene, wait_until

LIMIT_BYTES = 160 << 20
TASKS = '''
from conductor.model.spec import Needs

EATS = """
import time
eaten = []
for _ in range(100):
    eaten.append(b"x" * 10_000_000)
    time.sleep(0.03)
"""

@task("mine.eats", lane="cpu", needs=Needs(ram_mib=64))
def eats(args, ctx):
    exec(EATS)

@task("mine.feeds", lane="cpu", needs=Needs(ram_mib=64))
def feeds(args, ctx):
    done = run_program([sys.executable, "-c", EATS], ctx)
    if done.returncode:
        raise RuntimeError(f"the program ended with {done.returncode}")
'''


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 160 MiB below this process's own (v1 or v2)."""
    found = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    places = [
        (Path(f"/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes")
        for _, names, path in found
        if "memory" in names
    ] or [(Path(f"/sys/fs/cgroup{path}"), "memory.max") for _, names, path in found if not names]
    parent, limit = places[0]
    folder = parent / f"conductor-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(LIMIT_BYTES))
    except OSError as e:
        pytest.skip(f"no control group can be made here: {e}")
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text(), "nobody is in it")
    folder.rmdir()


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, tasks=TASKS)
    yield scene
    scene.close()


def worker_in(group: Path, scene: WorkerScene) -> None:
    words = [sys.executable, "-m", "workers", "--queue", QUEUE, "--lane", "cpu", "--node", NODE]
    argv = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *words]
    env = {**os.environ, "CONDUCTOR_PROJECT": str(scene.folder), "PYTHONPATH": str(REPOSITORY)}
    scene.workers.append(subprocess.Popen(argv, cwd=scene.folder, env=env, stderr=subprocess.DEVNULL))


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize("task", ["mine.eats", "mine.feeds"])
def test_what_the_kernel_kills_for_memory_is_no_error_of_the_task(scene: WorkerScene, group: Path, task: str):
    spec = scene.put(a_spec(task=task))
    worker_in(group, scene)
    (receipt,) = scene.wait_state(spec, "waiting")
    assert receipt.cause == "host_oom", receipt.message
    assert receipt.usage.rss_mib is not None
    # A program's own peak is sampled from outside, and may be missed.
    assert (64 if task == "mine.eats" else 20) < receipt.usage.rss_mib <= LIMIT_BYTES >> 20
    view = scene.ledger.jobs.job(spec.id)
    assert view is not None
    assert view.job_class.needs.ram_mib >= max(96, receipt.usage.rss_mib * 1.25)
    scene.close()


def test_a_worker_killed_for_memory_returns_its_job_with_that_cause_and_its_peak(scene: WorkerScene):
    spec = scene.put(a_spec(task="mine.write", needs=Needs(ram_mib=64)))
    attempts = scene.ledger.attempts
    attempts.start(spec.id, 1, "w1", 60.0)
    attempts.renew("w1", 60.0, [HeldReport(job_id=spec.id, attempt=1, usage=Usage(rss_mib=1000))])
    death = Death(worker="w1", queue=QUEUE, pid=412, exit_code=-9, was_oom=True)

    assert rescue(scene.ledger, death, lambda job: {}) == 1

    view = scene.ledger.jobs.job(spec.id)
    assert view is not None
    assert (view.state, view.cause, view.failures) == ("waiting", "host_oom", {"host_oom": 1})
    assert "killed by SIGKILL, for the host ran out of memory (it held 1000 MiB)" in view.message
    assert view.job_class.needs.ram_mib == 1280


HUNGRY = """
@task("mine.holds", lane="cpu", timeout_s=60.0)
def holds(args, ctx):
    held = b"x" * (args["mib"] << 20)
    open(args["begun"], "w").write(str(len(held)))
    while not os.path.exists(args["until"]):
        time.sleep(0.01)
    return {}
"""


def test_who_breaks_into_the_hosts_headroom_is_ended_and_its_honest_neighbour_is_not(
    project: Settings, ledger: Ledger, tmp_path: Path
):
    # More headroom than any host has: it is broken into.
    scene = a_scene(project, ledger, more="[limits]\nram_headroom_mib = 100_000_000", tasks=HUNGRY)
    try:
        words = {"mib": 700, "until": str(tmp_path / "until")}
        both = [{**words, "begun": str(tmp_path / name)} for name in ("begun0", "begun1")]
        liar = scene.put(a_spec(0, task="mine.holds", args=both[0], needs=Needs(ram_mib=64)))
        honest = scene.put(a_spec(1, task="mine.holds", args=both[1], needs=Needs(ram_mib=1024)))
        scene.worker()
        scene.worker()

        (receipt,) = scene.wait_state(liar, "waiting")
        (tmp_path / "until").touch()
        (kept,) = scene.wait_state(honest, "done")

        assert receipt.cause == "host_oom" and "of memory where 64.0 MiB were reserved" in receipt.message
        assert "of memory where 64.0 MiB were reserved" in receipt.beyond and kept.beyond == ""
        view = scene.ledger.jobs.job(liar.id)
        assert view is not None and view.job_class.needs.ram_mib > 700
        assert not list((scene.settings.state_dir / "beyond").iterdir())
    finally:
        scene.close()


def test_a_job_that_kept_no_word_and_harmed_nobody_is_done_and_its_receipt_says_so(
    project: Settings, ledger: Ledger, tmp_path: Path
):
    scene = a_scene(project, ledger, tasks=HUNGRY)
    try:
        args = {"mib": 700, "until": str(tmp_path), "begun": str(tmp_path / "begun")}
        spec = scene.put(a_spec(task="mine.holds", args=args, needs=Needs(ram_mib=64)))
        scene.worker()
        (receipt,) = scene.wait_state(spec, "done")
        assert "of memory where 64.0 MiB were reserved" in receipt.beyond
    finally:
        scene.close()


def test_only_a_growth_of_the_counter_says_something():
    assert oom_counter.has_grown(1, 2)
    assert not oom_counter.has_grown(2, 2)
    assert not oom_counter.has_grown(None, 2)
    assert not oom_counter.has_grown(2, None)
