"""A worker's turn: accepted, given back and started in one step, on Redis, as its users, and on the twin."""

from __future__ import annotations

import msgspec
from ledger_scenes import LEASE_S, LedgerScene, a_receipt, an_entry, an_id

from conductor.model.ledger_entries import Turned, WorkerTurn

SHORT = {"media.cut": 0.01}


def a_turn(number: str = "1", **changes: object) -> WorkerTurn:
    plain = WorkerTurn(
        worker="w1",
        queue="cpu-node1",
        lease_s=LEASE_S,
        number=number,
        most=8,
        budget_s=0.05,
        task_durations=SHORT,
    )
    return msgspec.structs.replace(plain, **changes)


def queued(scene: LedgerScene, *names: str) -> None:
    for name in names:
        scene.put(an_entry(name))
        assert scene.admit(name, cpu=0.0, ram_mib=0) is None


def turn(scene: LedgerScene, turn: WorkerTurn) -> Turned:
    turned = scene.ledger.attempts.turn(turn)
    scene.check()
    return turned


def ids(turned: Turned) -> list[str]:
    return [started.reservation.job_id for started in turned.started]


def test_short_jobs_are_started_together_as_far_as_the_budget_goes(scene: LedgerScene):
    queued(scene, *"abcdefg")

    assert ids(turn(scene, a_turn())) == [an_id(name) for name in "abcde"]
    assert ids(turn(scene, a_turn("2", most=1))) == [an_id("f")]


def test_of_unknown_jobs_an_idle_worker_takes_one_and_a_busy_one_none(scene: LedgerScene):
    queued(scene, *"ab")

    assert ids(turn(scene, a_turn("1", task_durations={}))) == []
    assert ids(turn(scene, a_turn("2", task_durations={}, is_idle=True))) == [an_id("a")]


def test_nothing_is_begun_beside_an_unknown_job_in_hand(scene: LedgerScene):
    queued(scene, *"ab")
    taken = scene.take("cpu-node1", "w1")
    assert taken is not None

    assert ids(turn(scene, a_turn(in_hand=(taken,), task_durations={}))) == [an_id("a")]


def test_a_turn_asked_for_again_starts_what_it_took_and_no_more(scene: LedgerScene):
    queued(scene, *"abc")
    first = turn(scene, a_turn(most=2))

    assert turn(scene, a_turn(most=2)) == first
    assert ids(turn(scene, a_turn("2", most=2))) == [an_id("c")]


def test_a_turn_behind_a_blocking_take_starts_what_lies_in_the_hand_by_then(scene: LedgerScene):
    queued(scene, *"abc")
    scene.take("cpu-node1", "w1")

    assert ids(turn(scene, a_turn(is_from_hand=True, most=1))) == [an_id("a"), an_id("b")]
    assert ids(turn(scene, a_turn("2", most=2))) == [an_id("c")]


def test_a_turn_behind_a_take_that_timed_out_starts_nothing(scene: LedgerScene):
    queued(scene, *"ab")

    turned = turn(scene, a_turn(is_from_hand=True, is_idle=True))

    assert turned == Turned(step=turned.step)


def test_such_a_turn_asked_for_again_starts_the_same_again_and_no_more(scene: LedgerScene):
    queued(scene, *"abcd")
    scene.take("cpu-node1", "w1")
    first = turn(scene, a_turn(is_from_hand=True, most=1))
    scene.take("cpu-node1", "w1")  # By a connection that was lost meanwhile.

    assert turn(scene, a_turn(is_from_hand=True, most=1)) == first
    assert ids(turn(scene, a_turn("2", is_from_hand=True, most=0))) == [an_id("c")]


def test_what_is_done_is_accepted_and_what_did_not_begin_goes_back_at_no_cost(scene: LedgerScene):
    queued(scene, *"ab")
    turn(scene, a_turn())

    turned = turn(scene, a_turn("2", most=0, done=(a_receipt("a"),), returned=((an_id("b"), 1),)))

    assert turned.answers == ("accepted",)
    view = scene.ledger.jobs.job(an_id("b"))
    assert view is not None
    assert (view.state, view.attempts, dict(view.failures)) == ("waiting", 1, {})


def test_what_another_worker_runs_cannot_be_given_back(scene: LedgerScene):
    queued(scene, "a")
    turn(scene, a_turn())

    turn(scene, a_turn("1", worker="w2", most=0, returned=((an_id("a"), 1),)))

    assert scene.ledger.tallies.counts()["running"] == 1


def test_what_was_cancelled_before_it_began_is_cancelled_when_it_goes_back(scene: LedgerScene):
    queued(scene, "a")
    turn(scene, a_turn())
    scene.cancel("a")

    turn(scene, a_turn("2", most=0, returned=((an_id("a"), 1),)))

    assert scene.ledger.tallies.counts()["cancelled"] == 1


def test_workers_tell_what_is_short_and_what_is_no_more(scene: LedgerScene):
    turn(scene, a_turn(news={"media.cut": 0.01, "media.probe": 0.02}))
    turn(scene, a_turn("2", news={"media.probe": 0.0}))

    assert scene.ledger.handover.task_durations() == {"media.cut": 0.01}
