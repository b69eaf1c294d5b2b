"""The book of pilots: written before an engine is asked, and asked by the node that comes up."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene

from conductor.base.errors import Fenced
from conductor.model.engine import EngineCapacity, EngineJob
from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates

LAB = EngineState(name="lab", last_number=2, capacity=EngineCapacity(cpus=8), words='größer \\ "')
ONE = Pilot(
    key="cdr-a-b-lab-1", engine="lab", asked_at=5.0, job=EngineJob(state="pending", reason="Resources")
)
TWO = Pilot(key="cdr-a-b-lab-2", engine="lab", asked_at=6.5, state="placed")


def test_what_was_written_is_read_and_what_is_forgotten_is_gone(scene: LedgerScene) -> None:
    book = scene.ledger.pilots
    assert book.states() == PilotStates()

    book.write(scene.epoch, LAB, [ONE, TWO])

    assert book.states() == PilotStates(engines={"lab": LAB}, pilots={ONE.key: ONE, TWO.key: TWO})
    book.write(scene.epoch, LAB, [TWO], [ONE.key])
    assert book.states().pilots == {TWO.key: TWO}


def test_jobs_that_an_engine_runs_one_by_one_stand_apart_from_its_pilots(scene: LedgerScene) -> None:
    book = scene.ledger.pilots
    one = JobSubmission(key="cdr-a-b-lab-k3v7-2", engine="lab", job_id="k3v7abc", attempt=2, asked_at=5.0)
    other = JobSubmission(key="cdr-a-b-lab-k3v7-3", engine="lab", attempt=3, asked_at=6.0, state="over")
    book.write(scene.epoch, LAB, [ONE])
    book.write_jobs(scene.epoch, LAB, [one, other])

    book.write_jobs(scene.epoch, LAB, [], [other.key])

    assert book.states() == PilotStates(
        engines={"lab": LAB}, pilots={ONE.key: ONE}, submissions={one.key: one}
    )
    with pytest.raises(Fenced):
        book.write_jobs(scene.epoch - 1, LAB, [other])


def test_who_no_longer_leads_writes_nothing(scene: LedgerScene) -> None:

    with pytest.raises(Fenced):
        scene.ledger.pilots.write(scene.epoch - 1, LAB, [ONE])

    assert scene.ledger.pilots.states() == PilotStates()


def test_the_first_node_of_a_pilot_may_come_up_and_no_other(scene: LedgerScene) -> None:
    book = scene.ledger.pilots
    book.write(scene.epoch, LAB, [ONE, TWO])

    assert book.claim(ONE.key, "host 1") == ""
    assert book.claim(ONE.key, "host 1") == "", "it asks again: it never learned of the answer"
    assert book.claim(ONE.key, "host 2") == "claimed"
    assert book.claim("cdr-a-b-lab-77", "host 2") == "", "the ledger was emptied: nobody remembers it"


@pytest.mark.parametrize("state", ["ending", "ended", "lost"])
def test_a_pilot_that_was_given_up_does_not_come_up(scene: LedgerScene, state: str) -> None:
    scene.ledger.pilots.write(scene.epoch, LAB, [Pilot(key=ONE.key, engine="lab", asked_at=5.0, state=state)])

    assert scene.ledger.pilots.claim(ONE.key, "host 1") == state
