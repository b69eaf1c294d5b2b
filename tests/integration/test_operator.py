"""The operator's word against real workers: fail, requeue, stuck jobs, and outputs that are made again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor.adapters.files.receipt_log import accepted
from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings
from conductor.model.identity import identified
from conductor.model.spec import JobSpec, Output
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.recovery.redo import redo_missing
from conductor.verify.verify import verify
from conductor.views.stuck import stuck_jobs, tasks_of
from tests.builders import a_spec
from tests.cli_tools import Cli
from tests.worker_scene import WorkerScene, a_scene, is_alive, wait_file, wait_until


@pytest.fixture
def scene(project: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    monkeypatch.chdir(project.project)
    yield scene
    scene.close()


def a_waiting_spec(folder: Path, n: int = 0) -> JobSpec:
    args = {"begun": str(folder / f"begun{n}"), "until": str(folder / f"until{n}")}
    return a_spec(n, task="mine.wait", args=args, writes=(Output(path=f"published:{n}.txt"),))


def test_a_running_job_is_taken_from_its_worker_and_runs_again(scene: WorkerScene, tmp_path: Path, cli: Cli):
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker(CONDUCTOR_TIMING__LEASE_S="1")
    child = int(wait_file(tmp_path / "begun0"))

    said = cli("requeue", spec.id[:8])

    assert (said.code, said.out) == (
        0,
        f"mine.wait · 0.txt ({spec.id[:8]}): was running, is being stopped, and then waits again\n",
    )
    (receipt,) = scene.wait_state(spec, "waiting")
    assert (receipt.cause, receipt.message) == ("worker_lost", "taken from its worker by the operator")
    assert not is_alive(child)
    view = scene.ledger.jobs.job(spec.id)
    assert view is not None and view.failures == {}
    assert [receipt.is_free for receipt in scene.receipts(spec)] == [True], "a rebuild counts it as little"
    (tmp_path / "until0").touch()
    scene.admit(spec, 2)
    scene.wait_state(spec, "done")
    assert worker.poll() is None
    assert cli("requeue", spec.id).code == 1


def test_a_running_job_is_given_up_and_its_worker_goes_on(scene: WorkerScene, tmp_path: Path, cli: Cli):
    spec = scene.put(a_waiting_spec(tmp_path))
    scene.worker(CONDUCTOR_TIMING__LEASE_S="1")
    wait_file(tmp_path / "begun0")

    said = cli("fail", spec.id, "--cause", "stalled", "--json")

    assert json.loads(said.out) == {"job_id": spec.id, "was": "running", "is_taken": True, "kept": ""}
    scene.wait_state(spec, "dead")
    view = scene.ledger.jobs.job(spec.id)
    assert view is not None and (view.cause, view.message) == ("stalled", "failed by the operator")
    after = scene.put(a_spec(5, task="mine.write"))
    scene.wait_state(after, "done")
    assert cli("fail", spec.id).code == 1
    assert cli("fail", spec.id, "--cause", "stalld").code == 2


def test_status_names_a_job_whose_worker_is_silent_and_says_when_it_is_taken_away(
    scene: WorkerScene, tmp_path: Path
):
    spec = scene.put(a_waiting_spec(tmp_path))
    worker = scene.worker(CONDUCTOR_TIMING__LEASE_S="2")
    wait_file(tmp_path / "begun0")
    settings = msgspec.structs.replace(
        scene.settings, timing=msgspec.structs.replace(scene.settings.timing, lease_s=2.0)
    )

    def signs() -> list[tuple[str, str]]:
        active = scene.ledger.handover.reservations()
        found = stuck_jobs(scene.ledger, active, tasks_of(settings.for_code), settings.timing.lease_s)
        return [(s.job_id, s.sign) for s in found]

    assert signs() == []
    worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: signs() == [(spec.id, "silent")], "it is named")
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: signs() == [], "its heartbeat is back")


# ── outputs that are gone ─────────────────────────────────────────────────────────────────────────────────


def a_writing_spec(n: int, **more: Any) -> JobSpec:
    return identified(
        JobSpec(
            v=1,
            id="nameless",
            workflow="system_test",
            task="mine.write",
            args={"text": f"text {n}"},
            writes=(Output(path=f"published:{n}.txt"),),
            **more,
        )
    )


@pytest.fixture
def night(scene: WorkerScene) -> tuple[Path, list[JobSpec]]:
    """Three jobs, done."""
    specs = [a_writing_spec(n) for n in range(3)]
    manifest = scene.folder / "night.jsonl"
    manifests.write(manifest, specs)
    scene.worker()
    for spec in specs:
        scene.put(spec)
        scene.wait_state(spec, "done")
    return manifest, specs


def test_what_was_deleted_or_altered_is_made_again_and_only_that(
    scene: WorkerScene, night: tuple[Path, list[JobSpec]], cli: Cli
):
    manifest, (kept, deleted, altered) = night
    folder = scene.folder / "published"
    (folder / "1.txt").unlink()
    (folder / "2.txt").write_text("not what was published")

    said = cli("retry", "--missing", str(manifest))

    assert said.code == 0, said.err
    assert said.out.startswith("2 jobs are waiting again; 1 file of theirs lies in .tmp/aside")
    assert [scene.state(s) for s in (kept, deleted, altered)] == ["done", "waiting", "waiting"]
    assert list(accepted(scene.receipts())) == [kept.id]
    for spec in (deleted, altered):
        scene.admit(spec, 2)
        scene.wait_state(spec, "done")
    assert (folder / "2.txt").read_text() == "text 2"
    assert [f.read_text() for f in folder.glob(".tmp/aside/*/2.txt")] == ["not what was published"]
    assert verify(manifest, scene.settings.receipts_dir, scene.settings.layout).is_good
    assert cli("retry", "--missing", str(manifest)).out == "0 jobs are waiting again\n"


def test_a_call_that_was_killed_in_the_middle_is_simply_made_again(
    scene: WorkerScene, night: tuple[Path, list[JobSpec]], monkeypatch: pytest.MonkeyPatch
):
    manifest, (_, deleted, _) = night
    (scene.folder / "published/1.txt").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(
            type(scene.ledger.commands), "redo", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            redo_missing(scene.ledger, manifest, scene.settings.layout)
    assert scene.state(deleted) == "done"
    assert deleted.id not in accepted(scene.receipts())

    assert redo_missing(scene.ledger, manifest, scene.settings.layout).sent_back == (deleted.id,)
    assert scene.state(deleted) == "waiting"
    late = next(r for r in scene.receipts(deleted) if r.outcome == "ok")
    assert scene.ledger.attempts.accept(late) == "already", "what was taken back stays taken back"
    assert scene.state(deleted) == "waiting"


def test_an_unmounted_share_is_not_a_thousand_deleted_files(
    scene: WorkerScene, night: tuple[Path, list[JobSpec]]
):
    manifest, specs = night
    (scene.folder / "published").rename(scene.folder / "away")
    with pytest.raises(ConfigError, match="published is not mounted"):
        redo_missing(scene.ledger, manifest, scene.settings.layout)
    assert [scene.state(s) for s in specs] == ["done"] * 3
