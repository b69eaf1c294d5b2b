"""What the next attempt does otherwise: only publish, ask for more, wait for what is closed or full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import memory

from conductor.base.files.fingerprint import fingerprint
from conductor.base.settings.settings import Settings
from conductor.model.calls import Call
from conductor.model.ledger_entries import JobView
from conductor.model.report import Device, NodeReport
from conductor.model.spec import JobSpec, Needs, Output, RateNeed
from conductor.ports import Ledger
from tests.builders import a_spec
from tests.worker_scene import (
    NODE,
    QUEUE,
    REPOSITORY,
    WorkerScene,
    a_scene,
    signal_twice,
    wait_file,
    wait_until,
)

MORE_TASKS = """
from conductor.base.errors import BadInput, CudaOutOfMemory, NoSpace

@task("mine.oom", lane="cpu", needs=Needs(vram_mib=4096))
def oom(args, ctx):
    if ctx.attempt <= args.get("fails", 99):
        raise CudaOutOfMemory("tried to allocate 2 GiB")
    return {}

@task("mine.memory", lane="cpu", needs=Needs(ram_mib=256))
def memory(args, ctx):
    raise MemoryError("it was too much")

@task("mine.counts", lane="cpu")
def counts(args, ctx):
    with open(args["runs"], "a") as runs:
        runs.write("x")
    ctx.output(ctx.spec.writes[0].path).write_text("six hours of work")
    return {"frames": {"bad": {1, 2}}} if args.get("is_set") else {"text": "x" * 2_000_000}

class Broken(BadInput):
    is_lasting = True

@task("mine.broken", lane="cpu")
def broken(args, ctx):
    raise Broken("half a film")

@task("mine.fills", lane="cpu")
def fills(args, ctx):
    (ctx.scratch / "big").write_bytes(b"x" * 3_000_000)
    time.sleep(1.2)
    raise OSError(28, "No space left on device")
"""


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger, tasks="from conductor.model.spec import Needs\n" + MORE_TASKS)
    yield scene
    scene.close()


def a_waiting_spec(folder: Path, n: int = 0) -> JobSpec:
    args = {"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}")}
    return a_spec(n, task="mine.wait", args=args, writes=(Output(path=f"published:{n}.txt"),))


def view_of(scene: WorkerScene, spec: JobSpec) -> JobView:
    view = scene.ledger.jobs.job(spec.id)
    assert view is not None
    return view


def again(scene: WorkerScene, spec: JobSpec, attempt: int) -> None:
    """Without its back-off."""
    assert scene.ledger.commands.requeue(spec.id) == "waiting"
    scene.admit(spec, attempt)


# ── publishing ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_computed_is_kept_while_the_share_is_gone_and_only_published_later(
    scene: WorkerScene, tmp_path: Path
):
    spec = scene.put(a_waiting_spec(tmp_path))
    scene.worker()
    share, away = scene.folder / "published", scene.folder / "away"
    wait_until(lambda: any(f.stat().st_size for f in share.glob(".tmp/*/out/0.txt")), "it is staged")
    share.rename(away)
    (tmp_path / "until0").touch()

    (first,) = scene.wait_state(spec, "waiting")
    assert first.cause == "publish_failed", first.message
    (tmp_path / "begun0").unlink()
    again(scene, spec, 2)
    wait_until(lambda: len(scene.receipts(spec)) == 2, "it tried to publish again")
    assert scene.receipts(spec)[1].cause == "publish_failed"
    scene.wait_state(spec, "waiting")
    away.rename(share)
    again(scene, spec, 3)

    receipts = scene.wait_state(spec, "done")
    assert [r.outcome for r in receipts] == ["failed", "failed", "ok"]
    assert (share / "0.txt").read_text() == "attempt 1"
    assert not (tmp_path / "begun0").exists(), "the body ran once"
    wait_until(lambda: not scene.staged(), "its folders are removed")


def test_what_was_kept_and_then_lost_is_computed_again(scene: WorkerScene, tmp_path: Path):
    spec = scene.put(a_waiting_spec(tmp_path))
    scene.worker()
    share, away = scene.folder / "published", scene.folder / "away"
    wait_until(lambda: any(f.stat().st_size for f in share.glob(".tmp/*/out/0.txt")), "it is staged")
    share.rename(away)
    (tmp_path / "until0").touch()
    scene.wait_state(spec, "waiting")
    share.mkdir()
    again(scene, spec, 2)

    scene.wait_state(spec, "done")
    assert (share / "0.txt").read_text() == "attempt 2"


def test_a_file_that_lay_there_makes_its_job_dead_with_words_and_a_retry_only_publishes(
    scene: WorkerScene, tmp_path: Path
):
    old = scene.folder / "published" / "0.txt"
    old.parent.mkdir(exist_ok=True)
    old.write_text("OLD")
    spec = scene.put(a_waiting_spec(tmp_path))
    (tmp_path / "until0").touch()
    scene.worker()

    (first,) = scene.wait_state(spec, "dead")
    assert (first.cause, first.is_lasting) == ("publish_failed", True)
    assert "no job known here made it" in first.message and f"conductor retry {spec.id}" in first.message
    assert old.read_text() == "OLD"
    (tmp_path / "begun0").unlink()
    old.rename(old.with_name("old.txt"))
    assert scene.ledger.commands.retry(spec.id)
    scene.admit(spec, 2)

    scene.wait_state(spec, "done")
    assert old.read_text() == "attempt 1"
    assert not (tmp_path / "begun0").exists(), "the body ran once"
    wait_until(lambda: not scene.staged(), "its folders are removed")


# ── asking for more ───────────────────────────────────────────────────────────────────────────────────────


def test_an_out_of_memory_asks_for_more_up_to_a_whole_device_and_is_then_dead(scene: WorkerScene):
    device = Device(index=0, uuid="u", name="RTX", vram_total_mib=8192 + 512)
    report = NodeReport(node=NODE, host="h", devices=(device,), measured=memory(1024 + 300, None))
    scene.ledger.reports.publish(report, 3600)
    spec = scene.put(a_spec(task="mine.oom"))
    scene.worker()

    scene.wait_state(spec, "waiting")
    assert view_of(scene, spec).job_class.needs.vram_mib == 4096 * 1.5
    again(scene, spec, 2)
    wait_until(lambda: view_of(scene, spec).job_class.needs.vram_mib == 8192, "no more than a device has")
    wait_until(lambda: scene.state(spec) == "waiting", "it comes back")
    again(scene, spec, 3)
    receipts = scene.wait_state(spec, "dead")

    view = view_of(scene, spec)
    assert view.cause == "cuda_oom"
    assert view.message.endswith("it had all that the largest device has to give, 8.0 GiB of VRAM")
    assert receipts[-1].message == view.message
    assert view.line == scene.ledger.jobs.job(spec.id).line  # type: ignore[union-attr]


def test_memory_and_space_are_raised_to_what_was_measured(scene: WorkerScene):
    memory, fills = scene.put(a_spec(1, task="mine.memory")), scene.put(a_spec(2, task="mine.fills"))
    scene.worker()
    scene.wait_state(memory, "waiting")
    scene.wait_state(fills, "waiting")
    assert view_of(scene, memory).cause == "host_oom"
    assert view_of(scene, memory).job_class.needs.ram_mib == 512, (
        "asked 256, measured less: half as much again, rounded up"
    )
    assert view_of(scene, fills).job_class.needs.scratch_bytes == 64 << 20, (
        "the 3 MB that were measured, rounded up"
    )
    wait_until(lambda: not scene.staged(), "its folders are removed")


# ── waiting for the right moment ──────────────────────────────────────────────────────────────────────────


def test_an_input_that_changed_since_the_plan_is_no_input(scene: WorkerScene, tmp_path: Path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"as planned")
    inputs = {str(video): fingerprint(video)}
    good = scene.put(a_spec(1, task="mine.write", inputs=inputs, reads=(str(video),)))
    scene.worker()
    scene.wait_state(good, "done")
    video.write_bytes(b"somebody else's")
    stale = scene.put(a_spec(2, task="mine.write", inputs=inputs, reads=(str(video),)))
    (receipt,) = scene.wait_state(stale, "dead")
    assert receipt.cause == "bad_input"
    assert receipt.message == f"input {str(video)!r} changed since it was planned: plan again"
    video.unlink()
    gone = scene.put(a_spec(3, task="mine.write", inputs=inputs, reads=(str(video),)))
    assert scene.wait_state(gone, "dead")[0].message == f"input {str(video)!r} is not there"
    # What a body calls lasting is not tried again, whatever retries its line has left.
    broken = scene.put(a_spec(4, task="mine.broken", retry={"bad_input": 3}))
    (receipt,) = scene.wait_state(broken, "dead")
    assert (receipt.message, receipt.is_lasting) == ("half a film", True)


def test_a_job_whose_rate_was_closed_meanwhile_is_not_called(scene: WorkerScene):
    needs = Needs(rates={"api": RateNeed()})
    spec = scene.put(a_spec(task="mine.write", needs=needs))
    scene.ledger.calls.tell_calls((Call(key="api", outcome="refused", closes_for_s=3600),))
    scene.worker()
    scene.wait_state(spec, "waiting")
    view = view_of(scene, spec)
    assert view.failures == {"rate_limited": 1}
    assert view.not_before is not None
    assert view.not_before - scene.ledger.bell.now() == pytest.approx(3600, abs=60)
    assert scene.receipts(spec) == [], "no attempt was made of it"
    assert scene.ledger.calls.refusals() == {"api": 1}, "nobody was refused"
    assert [(call.outcome, call.job_id) for call in scene.ledger.calls.calls()][1:] == [("uncalled", spec.id)]


# ── receipts that cannot be written ───────────────────────────────────────────────────────────────────────


def test_a_full_disk_of_receipts_is_waited_out_and_said(scene: WorkerScene, tmp_path: Path):
    """/dev/full answers each write as a full disk does."""
    folder = scene.settings.receipts_dir
    folder.mkdir()
    file = folder / "node1-full.jsonl"
    file.symlink_to("/dev/full")
    spec = scene.put(
        a_spec(task="mine.write", args={"text": "once"}, writes=(Output(path="published:x.txt"),))
    )
    argv = [
        sys.executable,
        "-m",
        "workers",
        "--queue",
        QUEUE,
        "--lane",
        "cpu",
        "--node",
        NODE,
        "--name",
        "node1-full",
    ]
    env = {**os.environ, "CONDUCTOR_PROJECT": str(scene.folder), "PYTHONPATH": str(REPOSITORY)}
    worker = subprocess.Popen(argv, cwd=scene.folder, env=env, stderr=subprocess.DEVNULL)
    scene.workers.append(worker)

    def note() -> str:
        held = view_of(scene, spec).reservation
        return held.note if held else ""

    wait_until(lambda: "the receipt cannot be written: No space left" in note(), "it says what it waits for")
    assert scene.state(spec) == "running"
    assert (scene.folder / "published/x.txt").read_text() == "once"
    file.unlink()
    (receipt,) = scene.wait_state(spec, "done")
    assert receipt.outcome == "ok"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_a_worker_that_must_leave_while_receipts_are_refused_keeps_what_it_computed(
    scene: WorkerScene, tmp_path: Path
):
    folder = scene.settings.receipts_dir
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker()
    wait_file(tmp_path / "begun0")
    # While it runs: with a file there from the beginning no worker starts.
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file where the folder should be")
    (tmp_path / "until0").touch()
    wait_until(lambda: (scene.folder / "published/0.txt").exists(), "it is published")
    signal_twice(worker)
    assert worker.wait(20) == 0
    assert view_of(scene, spec).cause == "publish_failed"

    folder.unlink()
    (tmp_path / "begun0").unlink()
    again(scene, spec, 2)
    scene.worker()
    (receipt,) = scene.wait_state(spec, "done")
    assert receipt.attempt == 2
    assert (scene.folder / "published/0.txt").read_text() == "attempt 1"
    assert not (tmp_path / "begun0").exists(), "the body ran once"


@pytest.mark.parametrize(
    ("is_set", "words"), [(True, "result.frames.bad is a set"), (False, "more than 1.0 MiB")]
)
def test_work_is_not_lost_with_a_result_that_cannot_be_written_down(
    scene: WorkerScene, tmp_path: Path, is_set: bool, words: str
):
    runs = tmp_path / "runs"
    args = {"runs": str(runs), "is_set": is_set}
    spec = scene.put(a_spec(task="mine.counts", args=args, writes=(Output(path="published:a.txt"),)))
    scene.worker()

    (receipt,) = scene.wait_state(spec, "dead")
    assert receipt.cause == "bad_result" and words in receipt.message
    assert f"its files are kept: `conductor retry {spec.id}` publishes them without it" in receipt.message
    assert not (scene.folder / "published/a.txt").exists()

    assert scene.ledger.commands.retry(spec.id)
    scene.admit(spec, 2)
    *_, done = scene.wait_state(spec, "done")
    assert words in done.result["result_lost"]
    assert (scene.folder / "published/a.txt").read_text() == "six hours of work"
    assert runs.read_text() == "x", "nothing is computed again"
    wait_until(lambda: not scene.staged(), "its folder is gone")
