"""A host drains while a job of a chain runs there: the next one goes elsewhere, or says what it waits for."""

from __future__ import annotations

import pytest
from builders import NOW, a_class, a_report, a_spec, a_volume
from loop_scene import a_conductor, publish, take

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.core.admission.explain import sentence
from conductor.model.chains import FileJob
from conductor.model.ledger_entries import Entry, EntryFiles
from conductor.model.reason import Reason
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.spec import JobSpec, Output, to_line
from conductor.ports import Ledger
from conductor.tick.loop import Conductor

FILE = "scratch:x"
CLASS = a_class("cpu", duration_s=60.0)
SECOND_S = 0.5


class ChainDrainScene:
    """`first` ends on alpha, and `second` comes after it; beta has nothing to do."""

    def __init__(self, *, has_file: bool) -> None:
        self.clock = ManualClock(NOW)
        self.ledger: Ledger = memory_ledger(self.clock)
        self.conductor: Conductor = a_conductor(self.ledger)
        self.outputs = (OutputFact(path=FILE, bytes=10, sha256="0" * 64),) if has_file else ()
        writes = (Output(path=FILE, bytes=10),) if has_file else ()
        self.first = a_spec(1, task=CLASS.task, writes=writes)
        reads = (FILE,) if has_file else ()
        self.second = a_spec(2, task=CLASS.task, after=(self.first.id,), reads=reads)
        wrote = FileJob(job_id=self.first.id, writes={FILE: 10})
        read = FileJob(job_id=self.second.id, reads=(FILE,), after=(self.first.id,))
        self.put(self.first, EntryFiles(job=wrote, readers={FILE: (self.second.id,)}) if has_file else None)
        self.put(self.second, EntryFiles(job=read) if has_file else None)
        self.publish("alpha")
        self.conductor.tick()
        (held,) = self.ledger.handover.reservations()
        take(self.ledger, held)
        self.conductor.tick()

    def put(self, spec: JobSpec, files: EntryFiles | None) -> None:
        entry = Entry(job_id=spec.id, line=to_line(spec), job_class=CLASS, after=spec.after, files=files)
        self.ledger.intake.put("b", [entry])

    def publish(self, *names: str) -> None:
        for name in names:
            disks = (a_volume(filesystem=f"{name}-scratch"), a_volume("published"))
            publish(self.ledger, a_report(name, workers=1, volumes=disks))

    def ends(self) -> None:
        receipt = Receipt(v=1, job_id=self.first.id, attempt=1, workflow="w", task=CLASS.task, outcome="ok",
                          started_at=NOW, ended_at=NOW, node="alpha", worker=f"worker-{self.first.id}",
                          outputs=self.outputs)  # fmt: skip
        assert self.ledger.attempts.accept(receipt) == "accepted"

    def ticks(self) -> None:
        for _ in range(4):
            self.publish("alpha", "beta")
            self.conductor.tick()
            self.clock.advance(SECOND_S)


@pytest.mark.parametrize("is_named_before", [False, True])
def test_without_files_it_goes_to_another_host(is_named_before: bool) -> None:
    scene = ChainDrainScene(has_file=False)
    if is_named_before:
        scene.ends()
        scene.ledger.control.set_draining(True, "alpha")
    else:
        scene.ledger.control.set_draining(True, "alpha")
        scene.ticks()
        scene.ends()
    scene.ticks()

    (held,) = scene.ledger.handover.reservations()
    assert (held.job_id, held.node) == (scene.second.id, "beta")


def test_with_files_that_lie_there_it_waits_and_says_so() -> None:
    scene = ChainDrainScene(has_file=True)
    scene.ledger.control.set_draining(True, "alpha")
    scene.ends()
    scene.ticks()

    assert scene.ledger.handover.reservations() == ()
    (hold,) = scene.ledger.gate_record.gates().holds
    (verdict,) = hold.closed
    assert (verdict.reason, verdict.where) == (Reason.HOME_DRAINING, "alpha")
    words = sentence(hold, NOW, 0.0)
    assert "alpha" in words and "its files are there" in words and "`conductor drain alpha --undo`" in words

    scene.ledger.control.set_draining(False, "alpha")
    scene.ticks()
    (held,) = scene.ledger.handover.reservations()
    assert (held.job_id, held.node) == (scene.second.id, "alpha")
