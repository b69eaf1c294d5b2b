"""Done work is made again: by name, since its code changed, or because its receipt is lost. Nothing of it
is lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor.adapters.files.receipt_log import accepted
from conductor.adapters.open_ledger import redis_of
from conductor.adapters.redis.scans.full_ledger_chunked import read_full_ledger
from conductor.adapters.redis.scripts import Scripts
from conductor.base.settings.settings import Settings
from conductor.model.identity import identified
from conductor.model.spec import JobSpec, Output
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record.journal import Journal
from conductor.recovery.audit import audit_live
from conductor.verify.verify import verify
from tests.cli_tools import Result, conductor
from tests.worker_scene import WorkerScene, a_scene, wait_until


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def a_job(n: int, *after: JobSpec, **more: Any) -> JobSpec:
    return identified(
        JobSpec(
            v=1,
            id="nameless",
            workflow="system_test",
            task="mine.write",
            args={"text": f"text {n}"},
            writes=(Output(path=f"published:{n}.txt"),),
            after=tuple(spec.id for spec in after),
            **more,
        )
    )


def done(scene: WorkerScene, *specs: JobSpec) -> Path:
    """Dispatched, and done by a worker."""
    path = scene.folder / "night.jsonl"
    manifests.write(path, specs)
    mark = scene.ledger.identity.generation("of this test") or ""
    Journal(scene.settings.receipts_dir).dispatched(path, "night", len(specs), mark)
    scene.worker()
    for spec in specs:
        scene.put(spec)
        scene.wait_state(spec, "done")
    return path


def redo(scene: WorkerScene, *words: str) -> Result:
    return conductor("redo", *words, cwd=scene.folder)


def run_again(scene: WorkerScene, *specs: JobSpec) -> None:
    for spec in specs:
        scene.admit(spec, 2)
        scene.wait_state(spec, "done")


def audited(scene: WorkerScene) -> dict[str, tuple[str, ...]]:
    with redis_of(scene.settings) as client:
        scripts = Scripts(client)
        report = audit_live(scene.ledger, lambda: read_full_ledger(scripts), scene.settings.layout, True)
    return {check.name: check.faults for check in report.checks if check.faults}


def test_it_is_listed_and_asked_about_first_and_then_made_again_with_the_old_output_aside(
    scene: WorkerScene,
) -> None:
    first, second = a_job(1), a_job(2)
    path = done(scene, first, second)

    asked = redo(scene, first.id[:10])

    assert asked.code == 2 and "--yes" in asked.err
    assert asked.out.startswith("1 job done (1 mine.write)") and f"({first.id[:8]})" in asked.out
    assert scene.state(first) == "done"

    said = redo(scene, first.id[:10], "--yes")

    assert said.code == 0, said.err
    assert said.out.endswith("1 job is waiting again; 1 file of theirs lies in .tmp/aside of their root\n")
    assert [scene.state(spec) for spec in (first, second)] == ["waiting", "done"]
    assert [f.read_text() for f in scene.folder.glob("published/.tmp/aside/*/1.txt")] == ["text 1"]
    run_again(scene, first)
    assert verify(path, scene.settings.receipts_dir, scene.settings.layout).is_good
    assert audited(scene) == {}


def test_only_what_was_made_by_other_code_than_now(scene: WorkerScene) -> None:
    old, new = a_job(1), a_job(2)
    done(scene, old)
    (module,) = scene.settings.task_modules
    file = scene.folder / f"{module}.py"
    file.write_text(file.read_text().replace("VERSION = 1", "VERSION = 2 + 0"))
    scene.put(new)
    (receipt,) = scene.wait_state(new, "done")
    assert receipt.result["version"] == 2

    assert redo(scene, "--older-code", "--task", "mine.write", "--json", "--yes").json["sent_back"] == [
        old.id
    ]

    assert [scene.state(spec) for spec in (old, new)] == ["waiting", "done"]
    assert redo(scene, "--older-code", "--yes").out == "0 jobs done\n"


def test_what_came_after_it_is_said_and_comes_along_on_demand(scene: WorkerScene) -> None:
    first = a_job(1)
    second = a_job(2, first)
    third = a_job(3, second)
    done(scene, first, second, third)

    said = redo(scene, first.id)
    assert "1 done job came after them and stay as they are: --with-dependents" in said.out

    taken = redo(scene, first.id, "--with-dependents", "--yes", "--json").json
    assert taken["sent_back"] == [first.id, second.id, third.id]
    view = scene.ledger.jobs.job(third.id)
    assert view is not None and view.waits_for == (second.id,)
    run_again(scene, first, second, third)


def test_what_is_not_done_is_refused_and_so_is_a_name_that_is_none(scene: WorkerScene) -> None:
    spec = a_job(1)
    scene.put(spec)
    refused = redo(scene, spec.id, "--yes")
    assert refused.code == 2 and "not done" in refused.err
    unknown = redo(scene, "--task", "mine.writ", "--yes")
    assert unknown.code == 2 and "did you mean mine.write" in unknown.err
    assert redo(scene).code == 2


# ── receipts that are lost ────────────────────────────────────────────────────────────────────────────────


def lost(scene: WorkerScene) -> None:
    for worker in scene.workers:
        worker.kill()
        worker.wait()
    for file in scene.settings.receipts_dir.glob("*.jsonl"):
        shutil.move(file, scene.folder / f"{file.name}.away")


@pytest.mark.parametrize("words", [("redo", "--no-receipt", "--yes"), ("retry", "--missing", "night.jsonl")])
def test_done_without_a_receipt_is_named_and_made_again_by_one_command(
    scene: WorkerScene, words: tuple[str, ...]
) -> None:
    specs = [a_job(n) for n in range(3)]
    path = done(scene, *specs)
    lost(scene)
    faults = audited(scene)["receipts"]
    assert len(faults) == 3 and "conductor redo --no-receipt" in faults[0]
    report = verify(path, scene.settings.receipts_dir, scene.settings.layout)
    assert f"conductor retry --missing {path}" in report.to_text()

    said = conductor(*words, cwd=scene.folder)

    assert said.code == 0 and "3 jobs are waiting again; 3 files of theirs" in said.out, said.err
    # The old ones turn up again: they count no more.
    for file in scene.folder.glob("*.away"):
        shutil.move(file, scene.settings.receipts_dir / file.stem)
    scene.worker()
    run_again(scene, *specs)
    assert {r.attempt for r in accepted(scene.receipts()).values()} == {2}
    assert verify(path, scene.settings.receipts_dir, scene.settings.layout).is_good
    assert audited(scene) == {}


def test_receipts_that_are_taken_from_under_a_worker_are_written_again(scene: WorkerScene) -> None:
    first, second = a_job(1), a_job(2)
    done(scene, first)
    scene.settings.receipts_dir.rename(scene.folder / "somewhere")
    scene.put(second)
    scene.wait_state(second, "done")
    assert accepted(scene.receipts()).keys() == {first.id, second.id}
    # A worker that has nothing to do looks as well.
    shutil.move(scene.settings.receipts_dir, scene.folder / "elsewhere")
    wait_until(lambda: accepted(scene.receipts()).keys() == {first.id, second.id}, "they are written again")
