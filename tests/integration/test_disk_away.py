"""A share that is remounted read-only under a running body: a real one, of memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.files import suspect_roots
from conductor.adapters.host.disk_probe import DiskProbe
from conductor.base.settings.settings import Settings
from conductor.model.spec import Output
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import WorkerScene, a_scene, wait_until

WRITES_LATE = """
@task("mine.late", lane="cpu", timeout_s=60.0)
def late(args, ctx):
    first, second = (ctx.output(output.path) for output in ctx.spec.writes)
    first.write_text("one")
    open(args["begun"], "w").write("x")
    while not os.path.exists(args["until"]):
        time.sleep(0.01)
    second.write_text("two")
    return {}
"""


@pytest.fixture
def share(project: Settings) -> Iterator[Path]:
    """The root `published`, a file system of its own."""
    folder = project.roots["published"].path
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def scene(project: Settings, share: Path, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, tasks=WRITES_LATE)
    yield scene
    scene.close()


def remount(share: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(share)], check=True)


@pytest.mark.parametrize("task", ["mine.late", "mine.wait"])
def test_a_share_that_becomes_read_only_is_not_the_jobs_fault(
    scene: WorkerScene, share: Path, tmp_path: Path, task: str
):
    """`mine.late`: while the body writes; `mine.wait`: after it wrote, so that only publishing meets it."""
    args = {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "until")}
    writes = (Output(path="published:a.txt"), Output(path="published:b.txt"))
    spec = scene.put(a_spec(0, task=task, args=args, writes=writes))
    scene.worker()
    wait_until(
        lambda: (tmp_path / "begun").exists() and len(list(share.glob(".tmp/*/out/*"))) >= 1, "it writes"
    )
    wait_until(lambda: task == "mine.late" or len(list(share.glob(".tmp/*/out/*"))) == 2, "it has written")
    remount(share, "ro")
    try:
        (tmp_path / "until").touch()
        (failed,) = scene.wait_state(spec, "waiting")
        assert failed.cause == "publish_failed" and "Read-only file system" in failed.message
        doubtful = suspect_roots.read(suspect_roots.folder_of(scene.settings.layout))
        assert doubtful == {"published"}, "the node of this host is told"
        probe = DiskProbe(scene.settings.roots)
        gates = {volume.root: volume.fault for volume in probe.read(suspects=doubtful)}
        probe.close()
        assert gates["scratch"] is None and "mounted read-only" in str(gates["published"])
    finally:
        remount(share, "rw")
    assert scene.ledger.commands.requeue(spec.id) == "waiting"
    scene.admit(spec, 2)

    scene.wait_state(spec, "done")
    assert (share / "b.txt").read_text() == ("two" if task == "mine.late" else "attempt 1")
