"""The life of an attempt, every fence of it, over Redis and over the twin."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene, a_receipt, a_reservation, an_entry, an_id, line_of
from msgspec import structs

from conductor.base.errors import Fenced
from conductor.model.decision import Admission, GateLedger
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import Lookahead

FULL = {
    "devices": ("gpu0", "gpu1"),
    "vram_mib": 10_240,
    "disk": {"scratch": 3_000_000_000_000},
    "lane": "gpu",
}


def test_admitted_means_reserved_and_in_the_queue(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    assert scene.admit("a", queue="gpu-node1-gpu0", expected_s=4.5, **FULL) is None
    assert scene.state("a") == "admitted"
    (held,) = scene.ledger.handover.reservations()
    assert held.admitted_at == pytest.approx(scene.ledger.bell.now(), abs=5)
    wanted = a_reservation("a", queue="gpu-node1-gpu0", expected_s=4.5, **FULL)
    assert structs.replace(held, admitted_at=0.0) == wanted
    assert scene.view("a").reservation == held
    assert scene.view("a").attempts == 1
    assert scene.ledger.handover.queued() == {"gpu-node1-gpu0": 1}
    assert scene.heads() == []


def test_started_means_running_with_the_line_in_hand(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    assert scene.take("cpu-node1", "w1") == (an_id("a"), 1)
    assert scene.take("cpu-node1", "w1") is None
    assert [r.job_id for r in scene.ledger.orphans.held_by("w1")] == [an_id("a")], "taken, not started"
    started = scene.ledger.attempts.start(an_id("a"), 1, "w1", 30)
    assert started.line == line_of("a")
    assert (started.reservation.state, started.reservation.worker) == ("running", "w1")
    assert started.reservation.started_at is not None
    assert started.failures == {}
    assert [r.job_id for r in scene.ledger.orphans.held_by("w1")] == [an_id("a")], "started"
    assert scene.ledger.orphans.held_by("w2") == ()
    scene.accept("a")
    assert scene.ledger.orphans.held_by("w1") == ()


def test_a_receipt_makes_it_done_and_gives_everything_back(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    room = {"node1:cpu_milli": 1000}
    assert scene.admit("a", ceilings=room) is None
    assert scene.admit("b", ceilings=room) == "over ceiling node1:cpu_milli"
    assert scene.state("b") == "waiting"
    scene.start("a")
    assert scene.accept("a") == "accepted"
    assert scene.ledger.handover.reservations() == ()
    assert scene.admit("b", ceilings=room) is None


@pytest.mark.parametrize("ending", ["accept", "fail", "dead", "rescue", "cancel"])
def test_every_end_gives_the_reservation_back_exactly_once(scene: LedgerScene, ending: str) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    room = {
        "node1/gpu0:vram_mib": 10_240,
        "node1/gpu1:vram_mib": 10_240,
        "node1/scratch:bytes": 3_000_000_000_000,
    }
    assert scene.admit("a", ceilings=room, **FULL) is None
    if ending != "cancel":
        scene.start("a")
    end = {
        "accept": lambda: scene.accept("a"),
        "fail": lambda: scene.fail("a"),
        "dead": lambda: scene.fail("a", then=Dead()),
        "rescue": lambda: scene.rescue("a"),
        "cancel": lambda: scene.cancel("a"),
    }[ending]
    end()
    end()
    assert scene.admit("b", ceilings=room, **FULL) is None
    assert scene.ledger.handover.queued() == {"cpu-node1": 1}


# ── fences ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_old_leader_can_neither_admit_nor_write_the_gate_ledger(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    old = scene.epoch
    scene.ledger.leadership.resign("conductor-1")
    new = scene.ledger.leadership.lead("conductor-2", 3600)
    assert new is not None
    assert new > old
    with pytest.raises(Fenced):
        scene.ledger.handover.admit(old, [Admission(reservation=a_reservation("a"), backlog="night")])
    with pytest.raises(Fenced):
        scene.ledger.gate_record.record_gates(old, GateLedger())
    assert scene.state("a") == "waiting"
    scene.epoch = new
    assert scene.admit("a") is None


def test_only_a_waiting_job_is_admitted_and_only_as_its_next_attempt(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    assert scene.admit("a", 2) == "attempt 2 is not its next"
    assert scene.admit("nobody") == "not waiting"
    assert scene.admit("a") is None
    assert scene.admit("a") == "not waiting"
    assert scene.admit("a", 2) == "not waiting"


def test_one_call_admits_what_it_can_and_says_what_it_cannot(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"), an_entry("c"))
    room = {"node1:cpu_milli": 2000}
    wanted = [
        Admission(reservation=a_reservation(n), backlog="night", ceilings=room) for n in ("a", "b", "c", "a")
    ]
    answers = scene.ledger.handover.admit(scene.epoch, wanted)
    assert answers == (None, None, "over ceiling node1:cpu_milli", "not waiting")
    scene.check()
    assert scene.ledger.handover.admit(scene.epoch, []) == ()


def test_a_class_whose_last_jobs_go_together_is_none_that_waits(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    wanted = [Admission(reservation=a_reservation(n), backlog="night") for n in ("a", "b")]
    assert scene.ledger.handover.admit(scene.epoch, wanted) == (None, None)
    assert scene.ledger.waiting.candidates(Lookahead()) == ()


def test_a_second_worker_cannot_start_what_one_has_started(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    with pytest.raises(Fenced):
        scene.start("a", worker="w2")


def test_a_worker_whose_answer_was_lost_may_ask_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    first = scene.ledger.handover.reservations()
    scene.start("a")
    assert scene.ledger.handover.reservations() == first


def test_a_rescued_attempt_can_neither_start_nor_renew_nor_fail(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.admit("a")
    scene.take("cpu-node1", "slow")
    assert scene.rescue("a")
    with pytest.raises(Fenced):
        scene.start("a", worker="slow")
    scene.run("a", 2, "w2")
    with pytest.raises(Fenced):
        scene.start("a", 1, worker="slow")
    assert scene.renew("a", 1, "slow") == "gone"
    assert scene.fail("a", 1) == "gone"
    assert scene.rescue("a", 1) is False
    assert scene.state("a") == "running"
    assert scene.renew("a", 2, "w2") == "ok"


def test_an_orphan_of_the_operators_making_costs_its_job_no_try(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert scene.rescue("a", then=Retry(is_free=True))
    assert (scene.view("a").state, scene.view("a").failures) == ("waiting", {})
    scene.run("a", 2)
    assert scene.rescue("a", 2)
    assert scene.view("a").failures == {"worker_lost": 1}


def test_a_leader_that_slept_does_not_rescue_a_worker_that_lives_again(scene: LedgerScene) -> None:
    def lapsed() -> bool:
        return scene.ledger.orphans.rescue(an_id("a"), 1, "looked at long ago", Retry(), if_lapsed=True)

    scene.put(an_entry("a"))
    scene.run("a", lease_s=0.05)
    scene.let(0.1)
    assert [held.job_id for held in scene.ledger.orphans.orphans(1.0)] == [an_id("a")]
    assert scene.renew("a", lease_s=0.05) == "ok"

    assert not lapsed()
    scene.let(0.1)
    assert lapsed()


def test_an_old_attempt_cannot_take_the_place_of_the_next_one(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.rescue("a")
    scene.admit("a", 2)
    with pytest.raises(Fenced):
        scene.start("a", 1)
    scene.take("cpu-node1", "w1")
    scene.start("a", 2)
    assert scene.renew("a", 1) == "gone", "though the same worker runs the next one"
    with pytest.raises(Fenced):
        scene.start("a", 1)


def test_no_attempt_of_an_unknown_job_goes_anywhere(scene: LedgerScene) -> None:
    with pytest.raises(Fenced):
        scene.ledger.attempts.start(an_id("nobody"), 1, "w1", 30)
    assert scene.renew("nobody") == "unknown"
    assert scene.ledger.attempts.adopt(a_reservation("nobody"), "w1", 30) == "unknown"
    assert scene.ledger.orphans.give_back(an_id("nobody"), 1) is False
    assert scene.ledger.attempts.accept(a_receipt("nobody")) == "gone"
    assert scene.fail("nobody") == "gone"
    assert scene.rescue("nobody") is False
    assert scene.cancel("nobody") is None
    assert scene.retry("nobody") is False


# ── receipts ──────────────────────────────────────────────────────────────────────────────────────────────


def test_one_receipt_counts_and_the_very_same_may_be_sent_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    assert scene.accept("a") == "accepted"
    assert scene.accept("a") == "accepted", "its first answer was lost"
    assert scene.ledger.attempts.accept(a_receipt("a", 2)) == "already"
    assert scene.fail("a") == "already"
    assert scene.ledger.tallies.counts()["done"] == 1


def test_a_late_receipt_counts_while_its_job_waits_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.rescue("a")
    assert scene.accept("a") == "accepted"
    assert scene.heads() == []


def test_a_late_receipt_counts_while_its_job_waits_out_a_back_off(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.rescue("a", then=Retry(delay_s=0.03))
    assert scene.accept("a") == "accepted"
    scene.let(0.05)
    assert scene.heads() == []
    assert scene.state("a") == "done"


def test_a_late_receipt_counts_while_the_next_attempt_is_queued(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.rescue("a")
    scene.admit("a", 2)
    assert scene.accept("a", 1) == "accepted"
    assert scene.ledger.handover.queued() == {}
    with pytest.raises(Fenced):
        scene.start("a", 2)


def test_a_late_receipt_counts_while_the_next_attempt_runs_and_tells_it_to_stop(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.rescue("a")
    scene.run("a", 2, "w2")
    assert scene.accept("a", 1) == "accepted"
    assert scene.renew("a", 2, "w2") == "gone"
    assert scene.accept("a", 2) == "already"
    assert scene.fail("a", 2) == "already"
    assert scene.ledger.handover.reservations() == ()


def test_a_second_body_of_one_number_is_not_the_one_that_was_accepted(scene: LedgerScene) -> None:
    scene.put(
        an_entry("a"),
        an_entry("b", is_done=True, attempts=3, token="0000000a"),
        an_entry("c", is_done=True, attempts=1),
    )
    scene.run("a")
    accept = scene.ledger.attempts.accept
    first, second = (structs.replace(a_receipt("a"), token=token) for token in ("0000000a", "0000000b"))

    assert accept(first) == accept(first) == "accepted"
    assert accept(second) == "already"
    assert scene.redo("a", 1), "sent back by its number"
    assert accept(structs.replace(a_receipt("b", 3), token="0000000a")) == "accepted", "as it was rebuilt"
    assert accept(structs.replace(a_receipt("b", 3), token="0000000b")) == "already"
    assert accept(structs.replace(a_receipt("c"), token="0000000a")) == "accepted", (
        "more than its number is not known"
    )


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_counted_by_cause_and_the_job_waits_again(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    assert scene.fail("a", cause="server_error") == "accepted"
    scene.run("a", 2)
    assert scene.fail("a", 2, cause="rate_limited") == "accepted"
    scene.run("a", 3)
    assert scene.rescue("a", 3)
    view = scene.view("a")
    assert view.failures == {"server_error": 1, "rate_limited": 1, "worker_lost": 1}
    assert (view.cause, view.message, view.attempts) == ("worker_lost", "the worker is gone", 3)
    assert scene.heads() == ["a", "b"], "it keeps its place"
    scene.admit("a", 4)
    assert scene.ledger.attempts.start(an_id("a"), 4, "w1", 30).failures == view.failures


def test_a_back_off_is_waited_out(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    scene.fail("a", then=Retry(delay_s=600))
    view = scene.view("a")
    assert view.state == "waiting"
    assert view.not_before == pytest.approx(scene.ledger.bell.now() + 600, abs=5)
    assert scene.heads() == ["b"]
    assert scene.admit("a", 2) == "not waiting"
    scene.run("b")
    scene.fail("b", then=Retry(delay_s=0.03))
    scene.let(0.05)
    assert scene.heads() == ["b"]
    assert scene.view("b").not_before is None


def test_exhausted_means_dead_until_an_operator_retries_it(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.fail("a", cause="bad_input", then=Dead())
    view = scene.view("a")
    assert (view.state, view.cause, view.message) == ("dead", "bad_input", "it broke")
    assert scene.heads() == []
    assert scene.retry("a") is True
    assert scene.retry("a") is False
    view = scene.view("a")
    assert (view.state, view.cause, view.failures, view.attempts) == ("waiting", None, {}, 1)
    scene.run("a", 2)
    assert scene.accept("a", 2) == "accepted"
    assert scene.retry("a") is False


def test_a_long_message_is_cut(scene: LedgerScene) -> None:
    scene.put(an_entry("a"))
    scene.run("a")
    scene.ledger.attempts.fail(
        structs.replace(a_receipt("a", 1, "failed", "task_error"), message="é" * 2000), Dead()
    )
    assert scene.view("a").message == "é" * 500
