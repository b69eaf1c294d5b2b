"""Workers themselves: the roll call, and the doorbell of a node that starts some when it rings; over Redis
and over the twin.
"""

from __future__ import annotations

from ledger_scenes import NODE, LedgerScene, a_reservation, an_entry

from conductor.model.decision import Admission
from conductor.model.ledger_entries import RollCall


def test_who_is_called_hears_it_once_and_nobody_else_does(scene: LedgerScene) -> None:
    attempts, workers = scene.ledger.attempts, scene.ledger.workers
    workers.call_roll(["w1"])
    assert attempts.next_preloaded("w2", 0) is None
    assert attempts.next_preloaded("w1", 0) == RollCall()
    assert attempts.next_preloaded("w1", 0) is None
    workers.call_roll([])
    assert attempts.next_preloaded("w1", 0) is None


def test_a_node_hears_what_is_handed_over_to_it_and_nothing_else(scene: LedgerScene) -> None:
    doorbell = scene.ledger.doorbell
    with doorbell.listening(NODE) as rings, doorbell.listening("other") as elsewhere:
        scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
        assert not rings(0.02), "nothing was handed over yet"
        admissions = [Admission(reservation=a_reservation(name), backlog="night") for name in ("a", "b")]
        assert scene.ledger.handover.admit(scene.epoch, admissions) == (None, None)
        assert rings(5.0)
        assert not rings(0.02), "one step rings once"
        scene.admit("c")
        assert rings(5.0)
        assert not elsewhere(0.02)
