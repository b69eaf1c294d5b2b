"""A node-side gate that closed after a tick had looked, on both ledgers: nothing more is handed over."""

from __future__ import annotations

import pytest
from builders import NOW, a_device, a_report
from ledger_scenes import LEASE_S, NODE, LedgerScene, a_receipt, a_reservation, an_entry, an_id

from conductor.model.decision import Admission, Successor
from conductor.model.ledger_entries import Begun, Turned, WorkerTurn
from conductor.model.report import Obstacle

SHUT = "node1 starts nothing now: somebody is at this machine"


def report(scene: LedgerScene, *devices: str) -> None:
    """What is closed now; empty: the whole host."""
    obstacles = tuple(
        Obstacle(
            gate="input", device=d, words="somebody is at this machine", figure=0.0, opens_at=1.0, since=NOW
        )
        for d in devices
    )
    scene.ledger.reports.publish(a_report(NODE, devices=2, obstacles=obstacles), ttl_s=60.0)


def turn(scene: LedgerScene, number: str, *done: str, begun: tuple[Begun, ...] = ()) -> Turned:
    turned = scene.ledger.attempts.turn(
        WorkerTurn(
            worker="w1",
            queue="cpu-node1",
            lease_s=LEASE_S,
            number=number,
            most=8,
            budget_s=0.05,
            is_idle=True,
            done=tuple(map(a_receipt, done)),
            begun=begun,
        )
    )
    scene.check()
    return turned


@pytest.fixture
def one_runs(scene: LedgerScene) -> LedgerScene:
    scene.put(*(an_entry(name) for name in "abc"))
    assert scene.admit("a") is None
    assert len(turn(scene, "1").started) == 1
    return scene


def name_successor(scene: LedgerScene) -> None:
    """«b» goes where «a» ends, and its worker is told so."""
    seen, _ = scene.ledger.handover.successions()
    admission = Admission(reservation=a_reservation("b"), backlog="night")
    scene.ledger.handover.admit(
        scene.epoch, [], [Successor(predecessor=an_id("a"), attempt=1, admission=admission)], seen
    )


def test_to_a_host_that_closed_nothing_is_handed_over_and_to_another_one_it_is(scene: LedgerScene):
    scene.put(*(an_entry(name) for name in "abc"))
    report(scene)
    assert scene.admit("a") is None

    report(scene, "")

    assert scene.admit("b") == SHUT and scene.state("b") == "waiting"
    assert scene.admit("b", node="node2", queue="cpu-node2") is None
    report(scene)
    assert scene.admit("c") is None, "it is open again"


def test_a_device_that_closed_is_given_nothing_and_the_others_of_its_host_are(scene: LedgerScene):
    scene.put(*(an_entry(name) for name in "abc"))
    report(scene, "gpu0")

    why_not = scene.admit("a", devices=("gpu0",))

    assert why_not == "node1/gpu0 starts nothing now: somebody is at this machine"
    assert scene.admit("b", devices=("gpu0", "gpu1")) == why_not
    assert scene.admit("b", devices=("gpu1",)) is None
    assert scene.admit("c") is None


def test_so_is_a_device_that_went_into_quarantine(scene: LedgerScene):
    scene.put(an_entry("a"))
    ill, well = (a_device(i, quarantined=why) for i, why in enumerate(("it keeps what died", None)))
    scene.ledger.reports.publish(a_report(NODE, devices=(ill, well)), ttl_s=60.0)

    assert scene.admit("a", devices=("gpu0",)) == "node1/gpu0 starts nothing now: it keeps what died"
    assert scene.admit("a", devices=("gpu1",)) is None


def test_nobody_follows_there_in_the_step_that_ends_its_predecessor(one_runs: LedgerScene):
    name_successor(one_runs)
    report(one_runs, "")

    assert turn(one_runs, "2", "a").started == ()
    assert one_runs.state("b") == "waiting"


def test_nor_does_one_whose_body_has_begun_behind_it(one_runs: LedgerScene):
    name_successor(one_runs)
    report(one_runs, "")
    follows = Begun(predecessor=an_id("a"), of_attempt=1, job_id=an_id("b"), attempt=1)

    assert turn(one_runs, "2", "a", begun=(follows,)).refused == ((an_id("b"), 1),)
    assert turn(one_runs, "3", "a").answers == ("accepted",)
    assert one_runs.state("b") == "waiting"


def test_nor_is_anybody_told_to_follow(one_runs: LedgerScene):
    report(one_runs, "")
    name_successor(one_runs)

    assert one_runs.ledger.attempts.next_preloaded("w1", 0.0) is None
