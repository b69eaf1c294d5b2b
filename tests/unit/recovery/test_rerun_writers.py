"""A later manifest reads what was removed: its writers run again, in an order that a kill cannot hurt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import a_spec

from conductor.adapters.files.receipt_log import FileReceiptLog, accepted, read_receipts
from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.memory.handover import MemoryHandover
from conductor.base.errors import ManifestError
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.dispatch.dispatch_report import Dispatched
from conductor.model.decision import Admission
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.snapshot import Lookahead, Reservation
from conductor.model.spec import JobSpec, Output
from conductor.record import kept_manifests, removal_notes
from conductor.record import manifest as manifests
from conductor.record.dispatched_manifests import Source
from conductor.record.journal import Journal
from conductor.recovery.rebuild import rebuild

CATALOGUE = load_catalogue()
NODE = "here"


def a_job(n: int, *before: JobSpec, is_optional: bool = False, is_said: bool = True) -> JobSpec:
    ids = tuple(spec.id for spec in before) if is_said else ()
    return a_spec(
        task="shell",
        workflow="system_test",
        args={"argv": ["true"], "env": {"N": str(n)}},
        writes=(Output(path="scratch:t/{id}/file", bytes=10),),
        reads=tuple(spec.writes[0].path for spec in before),
        after=() if is_optional else ids,
        after_ended=ids if is_optional else (),
    )


class RerunScene:
    """A project and its ledger; jobs are run by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.receipts = folder, folder / "receipts"
        self.begin()

    def begin(self) -> None:
        """With an empty ledger."""
        self.ledger = memory_ledger(ManualClock(1_700_000_000.0))
        self.epoch = self.ledger.leadership.lead("c", 1e9) or 0

    def dispatch(self, name: str, *specs: JobSpec, is_dry_run: bool = False) -> Dispatched:
        manifests.write(self.folder / name, specs)
        return dispatch(self.ledger, self.folder / name, "b", CATALOGUE, self.receipts, is_dry_run=is_dry_run)

    def ready(self) -> set[str]:
        return {head.job_id for c in self.ledger.waiting.candidates(Lookahead(heads=100)) for head in c.heads}

    def run(self, *specs: JobSpec) -> None:
        log = FileReceiptLog(self.receipts, "w")
        for spec in specs:
            attempt = self.start(spec)
            facts = tuple(OutputFact(path=o.path, bytes=o.bytes, sha256="0" * 64) for o in spec.writes)
            receipt = Receipt(
                v=1, job_id=spec.id, attempt=attempt, workflow=spec.workflow, task=spec.task, outcome="ok",
                started_at=0.0, ended_at=1.0, node=NODE, worker="w", outputs=facts,
            )  # fmt: skip
            log.append(receipt)
            assert self.ledger.attempts.accept(receipt) == "accepted"
        log.close()

    def start(self, spec: JobSpec) -> int:
        assert spec.id in self.ready()
        (view,) = [
            c
            for c in self.ledger.waiting.candidates(Lookahead(heads=100))
            if any(h.job_id == spec.id for h in c.heads)
        ]
        attempt = next(h.attempts for h in view.heads if h.job_id == spec.id) + 1
        held = Reservation(
            job_id=spec.id,
            attempt=attempt,
            class_id=view.job_class.id,
            task=spec.task,
            node=NODE,
            queue="cpu-here",
            lane="cpu",
            admitted_at=0.0,
        )
        assert self.ledger.handover.admit(self.epoch, [Admission(reservation=held, backlog="b")]) == (None,)
        assert isinstance(self.ledger.handover, MemoryHandover)
        assert self.ledger.handover.take("cpu-here", "w") == (spec.id, attempt)
        return self.ledger.attempts.start(spec.id, attempt, "w", 1e9).reservation.attempt

    def remove(self, *, is_over: bool = True) -> list[str]:
        """All that may go, as a node does it. Not `is_over`: it is still at it."""
        facts = self.ledger.files.begin_removal(NODE, "scratch", 10**18)
        if is_over:
            noted = (
                removal_notes.RemovalNotes(
                    at=1.0, path=f.path, job_id=f.job_id, attempt=f.attempt, bytes=f.bytes
                )
                for f in facts
            )
            removal_notes.note(self.receipts, NODE, noted)
            self.ledger.files.gone(NODE, [fact.path for fact in facts])
        return [fact.path for fact in facts]

    def waiting(self, *specs: JobSpec) -> list[str]:
        return [self.ledger.jobs.job(spec.id).state for spec in specs]  # type: ignore[union-attr]


@pytest.fixture
def scene(tmp_path: Path) -> RerunScene:
    return RerunScene(tmp_path)


def a_night(scene: RerunScene) -> tuple[JobSpec, JobSpec, JobSpec]:
    """One after the other; all done."""
    first = a_job(0)
    second = a_job(1, first)
    third = a_job(2, second)
    scene.dispatch("one.jsonl", first, second, third)
    scene.run(first, second, third)
    return first, second, third


def test_what_is_still_there_is_read_and_stays_for_it(scene: RerunScene) -> None:
    first, second, third = a_night(scene)
    late = a_job(9, second)

    assert scene.dispatch("two.jsonl", first, second, third, late) == Dispatched(new=1, known=3)

    assert scene.ready() == {late.id}
    assert scene.remove() == [first.writes[0].path]
    scene.run(late)
    assert scene.remove() == [second.writes[0].path]


@pytest.mark.parametrize("manner", ["after", "after_ended", "unsaid"])
@pytest.mark.parametrize("has_all", [True, False], ids=["with its writers", "alone"])
def test_what_was_removed_is_made_again_and_what_that_reads_too(
    scene: RerunScene, manner: str, has_all: bool
) -> None:
    first, second, third = a_night(scene)
    assert len(scene.remove()) == 2
    late = a_job(9, second, is_optional=manner == "after_ended", is_said=manner != "unsaid")
    specs = (first, second, third, late) if has_all else (late,)

    dry = scene.dispatch("two.jsonl", *specs, is_dry_run=True)
    assert (dry.again, scene.waiting(first, second)) == (2, ["done", "done"])
    result = scene.dispatch("two.jsonl", *specs)

    assert result.new == 1
    assert result.warnings == ("2 files were removed since: 2 jobs run again",)
    assert scene.waiting(first, second, third, late) == ["waiting", "waiting", "done", "waiting"]
    assert set(accepted(read_receipts(scene.receipts))) == {third.id}, "a rebuild agrees"
    assert scene.ready() == {first.id}
    for spec in (first, second, late):
        assert scene.ready() == {spec.id}
        scene.run(spec)
    assert sorted(scene.remove()) == sorted(spec.writes[0].path for spec in (first, second))
    assert scene.dispatch("two.jsonl", *specs).again == 0


def test_only_what_is_gone_is_made_again(scene: RerunScene) -> None:
    first, second, third = a_night(scene)
    assert [f.path for f in scene.ledger.files.begin_removal(NODE, "scratch", 1)] == [first.writes[0].path]
    scene.remove()  # the one it was told of, and the other
    scene.dispatch("two.jsonl", first, second, third, late := a_job(9, first))

    assert scene.waiting(first, second, late) == ["waiting", "done", "waiting"]


def test_a_file_that_is_being_removed_is_made_again_once_it_is_gone(
    scene: RerunScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = a_night(scene)
    late = a_job(9, second)
    assert len(scene.remove(is_over=False)) == 2
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        assert scene.waiting(first) == ["done"], "its new file would be removed in the place of the old one"
        scene.remove()

    monkeypatch.setattr("conductor.dispatch.rerun_writers.time.sleep", sleep)
    assert scene.dispatch("two.jsonl", late).again == 2

    assert looks
    for spec in (first, second, late):
        scene.run(spec)


class KilledMidway(BaseException):
    pass


@pytest.mark.parametrize("step", range(5))
def test_a_dispatch_that_is_killed_anywhere_is_simply_called_again(
    scene: RerunScene, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    first, second, third = a_night(scene)
    scene.remove()
    specs = (first, second, third, late := a_job(9, second))
    counts = iter(range(100))

    def dying(call):  # type: ignore[no-untyped-def]
        def wrapped(*args, **more):  # type: ignore[no-untyped-def]
            if next(counts) == step:
                raise KilledMidway
            return call(*args, **more)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(FileReceiptLog, "extend", dying(FileReceiptLog.extend))
        commands, intake = type(scene.ledger.commands), type(scene.ledger.intake)
        patched.setattr(commands, "redo", dying(commands.redo))
        patched.setattr(intake, "put", dying(intake.put))
        with pytest.raises(KilledMidway):
            scene.dispatch("two.jsonl", *specs)

    scene.dispatch("two.jsonl", *specs)
    for spec in (first, second, late):
        scene.run(spec)
    assert scene.ready() == set()
    assert set(accepted(read_receipts(scene.receipts))) == {spec.id for spec in specs}


def test_what_nobody_here_can_make_is_refused_and_nothing_is_touched(scene: RerunScene) -> None:
    _, second, _ = a_night(scene)
    scene.remove()
    (scene.folder / "one.jsonl").unlink()
    shutil.rmtree(scene.receipts / kept_manifests.FOLDER)
    with pytest.raises(ManifestError) as refusal:
        scene.dispatch("two.jsonl", a_job(9, second))

    assert f"{second.writes[0].path!r} was removed" in refusal.value.problems[0]
    assert scene.waiting(second) == ["done"]


def test_it_is_made_again_by_the_manifest_that_was_dispatched_whatever_its_file_says_now(
    scene: RerunScene,
) -> None:
    _, second, _ = a_night(scene)
    scene.remove()
    (scene.folder / "one.jsonl").write_text("")

    assert scene.dispatch("two.jsonl", a_job(9, second)).again == 2


def restored(scene: RerunScene, names: Sequence[str]) -> None:
    scene.begin()
    sources = [Source(manifest=scene.folder / name, backlog="b") for name in names]
    rebuild(scene.ledger, scene.receipts, CATALOGUE, sources, 0.0)


def test_rebuild_knows_what_was_removed_what_may_go_and_what_runs_again(scene: RerunScene) -> None:
    first, second, third = a_night(scene)
    restored(scene, ["one.jsonl"])
    assert scene.ledger.files.removable(NODE, ["scratch"]) == {"scratch": 20}, "they were read before"
    assert len(scene.remove()) == 2
    restored(scene, ["one.jsonl"])
    assert scene.ledger.files.removable(NODE, ["scratch"]) == {}

    late = a_job(9, second)
    assert scene.dispatch("two.jsonl", late).again == 2
    restored(scene, ["one.jsonl", "two.jsonl"])

    for spec in (first, second, late):
        scene.run(spec)
    assert scene.waiting(third) == ["done"]


def test_a_rebuild_after_a_dispatch_that_was_cut_off_sends_back_the_writers(scene: RerunScene) -> None:
    first, second, _ = a_night(scene)
    scene.remove()
    manifests.write(scene.folder / "two.jsonl", [late := a_job(9, second)])
    Journal(scene.receipts).dispatched(scene.folder / "two.jsonl", "b", 1, "another")

    restored(scene, ["one.jsonl", "two.jsonl"])

    for spec in (first, second, late):
        assert scene.ready() == {spec.id}
        scene.run(spec)
