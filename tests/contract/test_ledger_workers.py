"""Workers themselves: the roll call, over Redis and over the twin."""

from __future__ import annotations

from ledger_scenes import LedgerScene

from conductor.model.ledger_entries import RollCall


def test_who_is_called_hears_it_once_and_nobody_else_does(scene: LedgerScene) -> None:
    attempts, workers = scene.ledger.attempts, scene.ledger.workers
    workers.call_roll(["w1"])
    assert attempts.next_preloaded("w2", 0) is None
    assert attempts.next_preloaded("w1", 0) == RollCall()
    assert attempts.next_preloaded("w1", 0) is None
    workers.call_roll([])
    assert attempts.next_preloaded("w1", 0) is None
