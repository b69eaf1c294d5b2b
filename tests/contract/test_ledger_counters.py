"""What users count by name, on both ledgers: held from the hand-over to the end, whatever becomes of the
attempt.
"""

from __future__ import annotations

from typing import Any

import pytest
from ledger_scenes import LedgerScene, a_receipt, a_reservation, an_entry, an_id, steps_back

from conductor.model.decision import Admission, Successor
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import WorkerTurn

CEILINGS = {":nuke": 2, "node1/gpu0:encoder": 1}
FULL = "over ceiling :nuke"
HELD = {":nuke": 1}


def ask(scene: LedgerScene, name: str, attempt: int = 1, **more: Any) -> str | None:
    return scene.admit(name, attempt, CEILINGS, **{"held": HELD, **more})


def test_no_more_are_handed_over_than_there_are(scene: LedgerScene):
    scene.put(*[an_entry(name) for name in "abc"])

    assert ask(scene, "a") is None and ask(scene, "b", held={":nuke": 1, "node1/gpu0:encoder": 1}) is None

    assert ask(scene, "c") == FULL
    assert ask(scene, "c", held={"node1/gpu0:encoder": 1}) == "over ceiling node1/gpu0:encoder"
    assert ask(scene, "c", held={"node2:nuke": 9}) is None, (
        "of another node, of which nobody says how many there are"
    )
    assert {r.job_id: r.held for r in scene.ledger.handover.reservations()}[an_id("a")] == HELD


@pytest.mark.parametrize("end", ["accept", "fail", "die", "rescue", "cancel", "requeue", "force_fail"])
def test_however_an_attempt_ends_it_is_given_back(end: str, scene: LedgerScene):
    scene.put(an_entry("a"), an_entry("b"))
    assert scene.admit("a", 1, CEILINGS, held={":nuke": 2}) is None
    if end in ("accept", "fail", "die", "rescue"):
        scene.take("cpu-node1", "w1")
        scene.start("a")
    assert ask(scene, "b") == FULL

    {
        "accept": lambda: scene.accept("a"),
        "fail": lambda: scene.fail("a", then=Retry()),
        "die": lambda: scene.fail("a", then=Dead()),
        "rescue": lambda: scene.rescue("a"),
        "cancel": lambda: scene.cancel("a"),
        "requeue": lambda: scene.requeue("a"),
        "force_fail": lambda: scene.force_fail("a"),
    }[end]()

    assert ask(scene, "b") is None


def test_a_retry_holds_it_again(scene: LedgerScene):
    scene.put(an_entry("a"), an_entry("b"))
    assert scene.admit("a", 1, CEILINGS, held={":nuke": 2}) is None
    scene.take("cpu-node1", "w1")
    scene.start("a")
    scene.fail("a", then=Retry())

    assert scene.admit("a", 2, CEILINGS, held={":nuke": 2}) is None

    assert ask(scene, "b") == FULL


def test_what_a_server_forgot_is_held_again_by_who_runs_it(scene: LedgerScene):
    """Stepped back to before the hand-over: the worker that lives on says so, and nobody gets its licence."""
    scene.put(an_entry("a"), an_entry("b"))
    steps_back(scene)

    assert scene.ledger.attempts.adopt(a_reservation("a", 1, held={":nuke": 2}), "w1", 30) == "ok"
    epoch = scene.ledger.leadership.lead("conductor-1", 3600)
    assert epoch is not None
    scene.epoch = epoch
    scene.ledger.leadership.settle(scene.epoch, 0.0, 0)

    assert ask(scene, "b") == FULL
    assert scene.ledger.attempts.accept is not None
    scene.accept("a")
    assert ask(scene, "b") is None


@pytest.mark.parametrize(("wants", "state"), [(1, "running"), (2, "waiting")])
def test_a_successor_takes_over_no_more_than_is_given_back(wants: int, state: str, scene: LedgerScene):
    scene.put(*[an_entry(name) for name in "abc"])
    for name in "ab":
        assert ask(scene, name) is None
        scene.take("cpu-node1", f"w-{name}")
        scene.start(name, worker=f"w-{name}")
    admission = Admission(
        reservation=a_reservation("c", held={":nuke": wants}), backlog="night", ceilings=CEILINGS
    )
    scene.ledger.handover.admit(
        scene.epoch, [], [Successor(predecessor=an_id("a"), attempt=1, admission=admission)]
    )

    turn = WorkerTurn(
        worker="w-a", queue="cpu-node1", lease_s=30.0, number="n", most=8, budget_s=0.05, is_idle=True,
        done=(a_receipt("a"),),
    )  # fmt: skip
    turned = scene.ledger.attempts.turn(turn)

    assert turned.answers == ("accepted",)
    assert scene.state("c") == state
    scene.check()
