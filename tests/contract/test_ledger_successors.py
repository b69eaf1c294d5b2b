"""Who goes next where an attempt ends: named while it runs, started in the step that ends it, or not at
all.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ledger_scenes import NODE, LedgerScene, a_receipt, a_reservation, an_entry, an_id
from successor_scenes import CORE, a_successor, a_turn, begun, ended, name_successors, preloaded, turn, word

from conductor.base.errors import Fenced
from conductor.model.causes import Cause
from conductor.model.decision import Admission


@pytest.fixture
def one_runs(scene: LedgerScene) -> LedgerScene:
    """One core, and `a` runs on it; `b` and `c` wait."""
    scene.put(*(an_entry(name) for name in "abc"))
    assert scene.admit("a", ceilings=CORE) is None
    assert begun(turn(scene, a_turn())) == [an_id("a")]
    return scene


def test_a_successor_is_started_in_the_step_that_ends_its_predecessor(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    assert one_runs.state("b") == "waiting", "until then it holds nothing"

    turned = turn(one_runs, ended())

    assert (turned.answers, begun(turned)) == (("accepted",), [an_id("b")])
    assert one_runs.state("b") == "running"
    assert one_runs.ledger.handover.successions() == (1, 0)


def test_a_successor_in_another_queue_lies_there_from_the_step_on_that_ends_its_predecessor(
    one_runs: LedgerScene,
):
    name_successors(one_runs, a_successor("b", "a", queue="io-node1", lane="io"))

    turned = turn(one_runs, ended())

    assert (turned.answers, begun(turned), word(one_runs)) == (("accepted",), [], None)
    assert one_runs.state("b") == "admitted"
    assert one_runs.take("io-node1", "w2") == (an_id("b"), 1)


def test_a_turn_asked_for_again_starts_the_successor_it_started(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    first = turn(one_runs, ended())

    again = turn(one_runs, ended())

    assert (again.answers, begun(again)) == (first.answers, begun(first))
    assert one_runs.ledger.tallies.counts()["running"] == 1


def test_without_a_successor_nothing_starts(one_runs: LedgerScene):
    """The control: so the tests above can fail."""
    assert begun(turn(one_runs, ended())) == []


@pytest.mark.parametrize("how", ["fail", "rescue", "accept", "other attempt", "leaving worker"])
def test_only_the_good_end_of_that_very_attempt_in_a_turn_starts_its_successor(
    one_runs: LedgerScene, how: str
):
    name_successors(one_runs, a_successor("b", "a"))
    if how == "fail":
        one_runs.fail("a")
    elif how == "rescue":
        one_runs.rescue("a")
    elif how == "accept":
        one_runs.accept("a")
    elif how == "other attempt":
        turn(one_runs, a_turn("2", done=(a_receipt("a", 2),)))
    else:
        turn(one_runs, ended(most=0))

    assert one_runs.state("b") == "waiting"


@pytest.mark.parametrize("how", ["cancelled", "failed", "started elsewhere"])
def test_a_successor_that_does_not_wait_any_more_is_none(one_runs: LedgerScene, how: str):
    name_successors(one_runs, a_successor("b", "a"))
    if how == "cancelled":
        one_runs.cancel("b")
    elif how == "failed":
        one_runs.force_fail("b")
    else:
        assert one_runs.admit("b", 2, queue="cpu-node2") is None

    assert begun(turn(one_runs, ended())) == []


def test_a_successor_never_goes_over_a_ceiling(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a", cpu=1.5))

    assert begun(turn(one_runs, ended())) == []
    assert one_runs.state("b") == "waiting"


@pytest.mark.parametrize("word", ["lane", "device", "backlog", "node", "all"])
def test_the_word_of_the_operator_holds_at_once(one_runs: LedgerScene, word: str):
    name_successors(one_runs, a_successor("b", "a", devices=("gpu0",), vram_mib=1))
    control = one_runs.ledger.control
    if word == "lane":
        control.set_paused("cpu", True)
    elif word == "backlog":
        control.set_backlog_paused("night", True)
    elif word == "device":
        control.set_device_paused(f"{NODE}/gpu0", True)
    elif word == "node":
        control.set_draining(True, NODE)
    else:
        control.set_draining(True)

    assert begun(turn(one_runs, ended())) == []


def test_while_a_ledger_settles_nobody_is_handed_on(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    one_runs.ledger.identity.settle(30)

    assert begun(turn(one_runs, ended())) == []


def test_successors_of_another_epoch_are_none(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    one_runs.ledger.leadership.resign("conductor-1")
    assert one_runs.ledger.leadership.lead("conductor-2", 3600) is not None

    assert begun(turn(one_runs, ended())) == []


def test_only_the_leader_names_successors(one_runs: LedgerScene):
    with pytest.raises(Fenced):
        one_runs.ledger.handover.admit(one_runs.epoch - 1, [], [a_successor("b", "a")])
    assert begun(turn(one_runs, ended())) == []


def test_the_next_tick_takes_a_successor_back_at_no_cost(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    name_successors(one_runs, a_successor("c", "a"))

    assert begun(turn(one_runs, ended())) == [an_id("c")]
    view = one_runs.view("b")
    assert (view.state, view.attempts, dict(view.failures)) == ("waiting", 1, {}), (
        "only its number is used up"
    )


def test_after_one_was_handed_over_the_others_of_that_tick_are_successors_no_more(one_runs: LedgerScene):
    one_runs.put(an_entry("d"))
    assert one_runs.admit("d", queue="cpu-node2") is None
    other = a_turn("1", worker="w2", queue="cpu-node2")
    assert begun(turn(one_runs, other)) == [an_id("d")]
    name_successors(
        one_runs, a_successor("b", "a", cores=2), a_successor("c", "d", cores=2, queue="cpu-node2")
    )

    assert begun(turn(one_runs, ended())) == [an_id("b")]
    assert begun(turn(one_runs, msgspec.structs.replace(other, number="2", done=(a_receipt("d"),)))) == []
    assert one_runs.state("c") == "waiting"


def test_a_tick_that_looked_before_a_successor_was_handed_over_hands_nothing_over(one_runs: LedgerScene):
    """It counted what the successor holds now as free: the files that its predecessor left there are in no
    sum.
    """
    name_successors(one_runs, a_successor("b", "a"))
    seen, named = one_runs.ledger.handover.successions()
    assert (seen, named) == (0, 1)
    turn(one_runs, ended())

    admission = Admission(reservation=a_reservation("c", queue="cpu-node2"), backlog="night")
    answers = one_runs.ledger.handover.admit(one_runs.epoch, [admission], [a_successor("c", "b")], seen)

    one_runs.check()
    assert answers == ("a successor was handed over meanwhile",)
    assert one_runs.ledger.handover.successions() == (1, 0)
    seen, _ = one_runs.ledger.handover.successions()
    assert one_runs.ledger.handover.admit(one_runs.epoch, [admission], (), seen) == (None,)


def test_a_successor_of_a_kind_that_closes_is_not_started(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a", kind="k", code="v1", breaker=1))
    one_runs.put(an_entry("d"))
    held = a_reservation("d", kind="k", code="v1", breaker=1, queue="cpu-node2")
    seen, _ = one_runs.ledger.handover.successions()
    admission = Admission(reservation=held, backlog="night")
    successor = a_successor("b", "a", kind="k", code="v1", breaker=1)
    assert one_runs.ledger.handover.admit(one_runs.epoch, [admission], [successor], seen) == (None,)
    one_runs.start("d", worker="w2")
    cause: Cause = "task_error"
    one_runs.fail("d", cause=cause)

    assert begun(turn(one_runs, ended())) == []


# ── preloaded: the worker hears of it while the predecessor runs ───────────────────────────────────────────


def test_a_successor_is_told_to_the_worker_of_its_predecessor_and_holds_nothing(one_runs: LedgerScene):
    sums = one_runs.ledger.handover.reservations()
    name_successors(one_runs, a_successor("b", "a"))

    told = word(one_runs)

    assert told is not None and told.successor is not None
    assert (told.predecessor, told.of_attempt, told.job_id, told.attempt) == (an_id("a"), 1, an_id("b"), 1)
    assert told.successor.reservation.job_id == an_id("b")
    assert told.successor.line
    assert one_runs.state("b") == "waiting"
    assert one_runs.ledger.handover.reservations() == sums
    assert word(one_runs) is None, "said once"
    name_successors(one_runs, a_successor("b", "a", attempt=2))
    assert word(one_runs) is None, "and not again by the next tick that names it"


def test_one_that_has_begun_takes_the_place_of_its_predecessor_in_the_step_that_ends_it(
    one_runs: LedgerScene,
):
    name_successors(one_runs, a_successor("b", "a"))

    turned = turn(one_runs, ended(begun=(preloaded("b"),), most=0))

    assert (turned.answers, begun(turned), turned.refused) == (("accepted",), [an_id("b")], ())
    (held,) = one_runs.ledger.handover.reservations()
    assert (held.job_id, held.attempt, held.state, held.worker) == (an_id("b"), 1, "running", "w1")
    assert one_runs.ledger.handover.successions() == (1, 0)
    assert one_runs.ledger.handover.early_successions() == 1
    assert one_runs.ledger.handover.queued() == {}
    again = turn(one_runs, ended(begun=(preloaded("b"),), most=0))
    assert (again.answers, begun(again), again.refused) == (("accepted",), [an_id("b")], ()), (
        "its answer was lost"
    )


OBSTACLES = (
    *(
        "cancelled",
        "failed",
        "started elsewhere",
        "not named again",
        "another is named",
        "paused",
        "backlog paused",
    ),
    *("drained", "settling", "predecessor rescued", "predecessor accepted by others", "predecessor failed"),
)


@pytest.mark.parametrize("how", OBSTACLES)
def test_a_turn_whose_successor_may_not_run_does_nothing_until_that_one_has_ended(
    one_runs: LedgerScene, how: str
):
    name_successors(one_runs, a_successor("b", "a"))
    scene, control = one_runs, one_runs.ledger.control
    match how:
        case "cancelled":
            scene.cancel("b")
        case "failed":
            scene.force_fail("b")
        case "started elsewhere":
            assert scene.admit("b", 2, queue="cpu-node2") is None
        case "not named again":
            seen, _ = scene.ledger.handover.successions()
            scene.ledger.handover.admit(scene.epoch, [], (), seen)
        case "another is named":
            name_successors(scene, a_successor("c", "a"))
        case "paused":
            control.set_paused("cpu", True)
        case "backlog paused":
            control.set_backlog_paused("night", True)
        case "drained":
            control.set_draining(True, NODE)
        case "settling":
            scene.ledger.identity.settle(30)
        case "predecessor rescued":
            scene.rescue("a")
        case "predecessor accepted by others":
            scene.accept("a")
        case _:
            scene.fail("a")
    before = (scene.state("a"), scene.state("b"), scene.ledger.handover.reservations())

    turned = turn(scene, ended(begun=(preloaded("b"),), most=0))

    assert (turned.refused, turned.answers, turned.started) == (((an_id("b"), 1),), (), ())
    assert (scene.state("a"), scene.state("b"), scene.ledger.handover.reservations()) == before
    assert turn(scene, ended("3", most=0)).answers == ("accepted",)
    assert scene.view("b").failures == {} or how in ("failed", "cancelled")


def test_one_that_did_not_begin_in_time_goes_the_way_of_those_that_are_only_named(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))

    assert begun(turn(one_runs, ended())) == [an_id("b")]
    assert one_runs.state("b") == "running"


@pytest.mark.parametrize("how", ["fail", "rescue", "accept", "turn"])
def test_where_its_predecessor_ends_without_it_it_waits_as_before(one_runs: LedgerScene, how: str):
    name_successors(one_runs, a_successor("b", "a"))
    if how == "turn":
        turn(one_runs, ended(most=0))
    else:
        getattr(one_runs, how)("a")

    assert one_runs.state("b") == "waiting"
    assert one_runs.admit("b", 2) is None


def test_who_is_taken_back_makes_room_for_another_once_its_worker_says_that_it_did_not_begin(
    one_runs: LedgerScene,
):
    name_successors(one_runs, a_successor("b", "a"))
    name_successors(one_runs, a_successor("c", "a"))
    assert (word(one_runs) or preloaded("x")).job_id == an_id("b")
    back = word(one_runs)
    assert back is not None
    assert (back.job_id, back.successor) == (an_id("b"), None)
    assert word(one_runs) is None, "one at most for each attempt"

    turn(one_runs, a_turn("2", not_begun=(preloaded("b"),), most=0))
    name_successors(one_runs, a_successor("c", "a"))

    told = word(one_runs)
    assert told is not None and told.successor is not None and told.job_id == an_id("c")
    assert begun(turn(one_runs, ended("3", begun=(preloaded("c"),), most=0))) == [an_id("c")]


def test_what_a_worker_will_not_take_is_not_offered_to_it_again(one_runs: LedgerScene):
    name_successors(one_runs, a_successor("b", "a"))
    word(one_runs)
    turn(one_runs, a_turn("2", not_begun=(preloaded("b"),), most=0))

    name_successors(one_runs, a_successor("b", "a", attempt=2))

    assert word(one_runs) is None
    assert begun(turn(one_runs, ended("3"))) == [an_id("b")]


@pytest.mark.parametrize("more", [{"cpu": 1.5}, {"ram_mib": 10**6}, {"devices": ("gpu0",), "vram_mib": 1}])
def test_only_who_fits_into_what_its_predecessor_holds_is_preloaded(
    one_runs: LedgerScene, more: dict[str, Any]
):
    successor = a_successor("b", "a", cores=9, **more)
    name_successors(one_runs, successor)

    assert word(one_runs) is None
    assert one_runs.view("b").attempts == 0
    assert begun(turn(one_runs, ended(begun=(preloaded("b"),)))) == []


def test_nobody_is_preloaded_behind_two(one_runs: LedgerScene):
    one_runs.put(an_entry("d"))
    assert one_runs.admit("d", queue="cpu-node2") is None
    other = a_turn("1", worker="w2", queue="cpu-node2")
    assert begun(turn(one_runs, other)) == [an_id("d")]

    name_successors(
        one_runs, a_successor("b", "a", cores=2), a_successor("b", "d", cores=2, queue="cpu-node2")
    )

    assert word(one_runs) is not None
    assert word(one_runs, "w2") is None


def test_nobody_is_preloaded_behind_one_that_is_asked_to_stop_or_waits_itself(one_runs: LedgerScene):
    one_runs.cancel("a")
    name_successors(one_runs, a_successor("b", "a"), a_successor("b", "c"))

    assert word(one_runs) is None


def test_nobody_waits_under_a_number_that_looks_like_a_rebuilt_ones(one_runs: LedgerScene):
    one_runs.put(an_entry("z", attempts=99))
    name_successors(one_runs, a_successor("z", "a", attempt=100))

    assert word(one_runs) is None
    assert begun(turn(one_runs, ended())) == [an_id("z")]
