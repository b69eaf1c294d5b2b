"""What a rebuild and a drain ask of the ledger, over Redis and over the twin."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene, a_receipt, a_reservation, an_entry, an_id

from conductor.model.ledger_entries import Pulse
from conductor.model.snapshot import Reservation


def adopt(scene: LedgerScene, name: str, attempt: int = 1, worker: str = "w1", **more: object) -> str:
    answer = scene.ledger.attempts.adopt(a_reservation(name, attempt, **more), worker, 30)
    scene.check()
    return answer


# ── given back ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_nobody_started_goes_back_at_no_cost(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")

    assert scene.ledger.orphans.give_back(an_id("a"), 1)

    scene.check()
    view = scene.view("a")
    assert (view.state, view.attempts, view.failures, view.cause) == ("waiting", 1, {}, None)
    assert scene.ledger.handover.queued() == {} and scene.heads() == ["a"]
    assert scene.admit("a", 2) is None


def test_only_the_attempt_that_nobody_started_is_given_back(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    assert not scene.ledger.orphans.give_back(an_id("a"), 1), "it waits"
    scene.admit("a")
    assert not scene.ledger.orphans.give_back(an_id("a"), 2), "not this one"
    scene.take("cpu-node1", "w1")
    scene.start("a")
    assert not scene.ledger.orphans.give_back(an_id("a"), 1), "it runs"
    assert scene.state("a") == "running"


def test_an_entry_given_back_out_of_a_workers_hand_cannot_be_started(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    scene.take("cpu-node1", "w1")

    assert scene.ledger.orphans.give_back(an_id("a"), 1)

    assert scene.admit("a", 2) is None
    assert scene.renew("a", 1) == "gone"


# ── an attempt from before Redis was emptied ──────────────────────────────────────────────────────────────


def test_an_attempt_the_ledger_never_heard_of_is_told_so_and_adopted(scene: LedgerScene) -> None:
    assert scene.renew("a", 3) == "unknown"
    assert adopt(scene, "a", 3) == "unknown", "nothing is rebuilt yet"
    scene.put(an_entry("a"))
    assert scene.renew("a", 3) == "unknown", "rebuilt, and another attempt than any it knows"

    assert adopt(scene, "a", 3, disk={"scratch": 7}) == "ok"

    view = scene.view("a")
    assert (view.state, view.attempts) == ("running", 3)
    assert view.reservation is not None
    assert (view.reservation.worker, view.reservation.disk) == ("w1", {"scratch": 7})
    assert view.reservation.started_at is not None
    assert scene.renew("a", 3) == "ok"
    assert scene.heads() == []
    assert scene.accept("a", 3) == "accepted"
    assert scene.ledger.handover.reservations() == ()


def test_a_rebuilt_job_takes_back_the_attempt_that_was_under_way(scene: LedgerScene) -> None:
    scene.put(an_entry("a", attempts=200))
    assert scene.renew("a", 3) == "unknown"
    assert adopt(scene, "a", 3) == "ok"
    assert scene.fail("a", 3) == "accepted"
    assert scene.admit("a", 4) is None


def test_what_it_holds_counts_again_and_old_readings_do_not(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    stale: Reservation = a_reservation("a", 2, state="running", worker="w0", admitted_at=5.0, progress=0.5)
    assert scene.ledger.attempts.adopt(stale, "w1", 30) == "ok"
    (held,) = scene.ledger.handover.reservations()
    assert (held.worker, held.progress, held.admitted_at > 1e9) == ("w1", None, True)
    assert scene.admit("b", ceilings={"node1:cpu_milli": 1000}) == "over ceiling node1:cpu_milli"


def test_the_ledger_knows_better_than_an_attempt_it_has_overtaken(scene: LedgerScene) -> None:
    scene.put(
        an_entry("a", attempts=100), an_entry("b"), an_entry("c"), an_entry("d", is_done=True, attempts=1)
    )
    scene.run("a", 101)
    assert adopt(scene, "a", 1) == scene.renew("a", 1) == "gone", "another attempt runs"
    scene.rescue("a", 101)
    assert adopt(scene, "a", 1) == scene.renew("a", 1) == "gone", "another attempt ran"
    scene.run("b")
    assert adopt(scene, "b", 1, worker="w2") == "gone", "it runs"
    assert adopt(scene, "b", 2) == "ok", "a number that it never gave out: it stepped back"
    scene.cancel("c")
    assert adopt(scene, "c", 2) == "gone"
    assert adopt(scene, "d", 2) == "gone"
    assert scene.renew("d", 2) == "gone"


def test_a_late_receipt_counts_where_the_job_waits_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a", attempts=100))
    assert scene.accept("a", 1) == "accepted"
    assert scene.state("a") == "done"


# ── what had ended comes in as ended ──────────────────────────────────────────────────────────────────────


def test_the_dead_come_in_dead_with_their_words_and_take_along_who_comes_after(scene: LedgerScene) -> None:
    scene.put(
        an_entry("b", after=(an_id("a"),)),
        an_entry("a", over="dead", failures={"task_error": 3}, cause="task_error", message="no", attempts=3),
        an_entry("c", after=(an_id("a"),)),
        an_entry("d", after_ended=(an_id("a"),)),
    )
    view = scene.view("a")
    assert (view.state, view.cause, view.message, view.failures, view.attempts) == (
        "dead", "task_error", "no", {"task_error": 3}, 3,
    )  # fmt: skip
    assert [scene.view(n).cause for n in "bc"] == ["dependency_dead"] * 2
    assert scene.heads() == ["d"]

    assert scene.retry("a")
    assert {n: scene.state(n) for n in "abc"} == dict.fromkeys("abc", "waiting")
    assert scene.view("a").failures == {}
    assert scene.admit("a", 4) is None


def test_a_back_off_that_was_not_over_goes_on(scene: LedgerScene) -> None:
    now = scene.ledger.bell.now()
    scene.put(an_entry("a", attempts=100, failures={"no_space": 1}, cause="no_space", not_before=now + 60))
    scene.put(an_entry("b", attempts=100, failures={"no_space": 1}, cause="no_space", not_before=now - 1))
    scene.put(an_entry("c", after=("z",), attempts=100, not_before=now + 60))

    scene.check()
    assert scene.heads() == ["b"]
    assert scene.view("a").not_before == pytest.approx(now + 60, abs=0.01)
    assert scene.view("c").not_before is None, "it waits for another first"
    assert scene.ledger.commands.retry(an_id("a")) is False
    assert scene.ledger.commands.requeue(an_id("a")) == "waiting"
    assert scene.heads() == ["a", "b"]


def test_the_cancelled_come_in_cancelled(scene: LedgerScene) -> None:
    scene.put(an_entry("a", over="cancelled", cause="cancelled"), an_entry("b", after=(an_id("a"),)))
    assert (scene.state("a"), scene.state("b")) == ("cancelled", "dead")


def test_a_dead_one_that_waited_for_others_waits_for_them_again_when_it_is_sent_back(
    scene: LedgerScene,
) -> None:
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),), over="dead", cause="task_error"))
    assert scene.retry("b")
    assert scene.heads() == ["a"]
    scene.run("a")
    scene.accept("a")
    assert scene.heads() == ["b"]


def test_failures_go_on_counting(scene: LedgerScene) -> None:
    scene.put(an_entry("a", failures={"server_error": 2}, cause="server_error", message="503", attempts=2))
    assert scene.state("a") == "waiting"
    scene.admit("a", 3)
    scene.take("cpu-node1", "w1")
    started = scene.ledger.attempts.start(an_id("a"), 3, "w1", 30)
    assert started.failures == {"server_error": 2}
    assert scene.fail("a", 3, "server_error") == "accepted"
    assert scene.view("a").failures == {"server_error": 3}


# ── which ledger is this ──────────────────────────────────────────────────────────────────────────────────


def test_the_first_mark_stays(scene: LedgerScene) -> None:
    identity = scene.ledger.identity
    assert identity.generation() is None
    assert identity.generation("one") == "one"
    assert identity.generation("two") == "one"
    assert identity.generation() == "one"


def test_a_rebuilt_ledger_settles_for_a_while(scene: LedgerScene) -> None:
    identity = scene.ledger.identity
    assert identity.pulse() == Pulse()
    identity.generation("one")
    identity.settle(0.05)
    pulse = identity.pulse()
    mark, settling_s = pulse.mark, pulse.rebuilt_s
    assert mark == "one" and 0 < settling_s <= 0.05
    scene.let(0.06)
    assert identity.pulse() == Pulse(mark="one")


def test_receipts_of_a_job_that_is_not_known_wait_on_disk(scene: LedgerScene) -> None:
    assert scene.ledger.attempts.accept(a_receipt("a")) == "gone"
    scene.put(an_entry("a"))
    assert scene.ledger.attempts.accept(a_receipt("a")) == "accepted"
