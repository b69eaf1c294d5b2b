"""A job that is put alone starts where the last tick would have started one more of its class, or waits."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_scenes import NODE, LedgerScene, a_class, a_reservation, an_entry, an_id
from successor_scenes import a_turn, an_offer, begun, leave, turn

from conductor.base.errors import Fenced
from conductor.model.decision import Admission


@pytest.fixture
def offered(scene: LedgerScene) -> LedgerScene:
    leave(scene, an_offer())
    return scene


def test_who_comes_alone_is_admitted_as_it_is_put(offered: LedgerScene):
    assert offered.put(an_entry("a")) == (1, 0)

    (held,) = offered.ledger.handover.reservations()
    assert (held.job_id, held.attempt, held.state) == (an_id("a"), 1, "admitted")
    assert held.since == pytest.approx(held.admitted_at, abs=0.01), "it waited for nothing"
    assert begun(turn(offered, a_turn())) == [an_id("a")]


def test_without_an_offer_it_waits(scene: LedgerScene):
    """The control: so the test above can fail."""
    scene.put(an_entry("a"))
    assert scene.state("a") == "waiting"


def test_it_is_asked_for_again_at_no_cost(offered: LedgerScene):
    offered.put(an_entry("a"))

    assert offered.put(an_entry("a")) == (0, 1)
    assert offered.ledger.tallies.counts()["admitted"] == 1


def test_of_all_offers_one_is_taken_and_a_tick_that_looked_before_is_void(scene: LedgerScene):
    leave(scene, an_offer(), an_offer("c2"))
    seen, _ = scene.ledger.handover.successions()
    scene.put(an_entry("a"))
    scene.put(an_entry("b", a_class("c2")), an_entry("c"))
    scene.put(an_entry("d", a_class("c2")))

    assert (scene.state("a"), scene.state("b"), scene.state("d")) == ("admitted", "waiting", "waiting")
    row = Admission(reservation=a_reservation("c"), backlog="night")
    assert scene.ledger.handover.admit(scene.epoch, [row], (), seen) == (
        "a successor was handed over meanwhile",
    )


@pytest.mark.parametrize(
    "who",
    [
        [an_entry("a"), an_entry("b")],
        [an_entry("a", a_class("c2"))],
        [an_entry("a", after=(an_id("z"),))],
        [an_entry("a", attempts=1)],
    ],
    ids=["two", "of another class", "behind another", "tried before"],
)
def test_nobody_else_takes_it(offered: LedgerScene, who: list[Any]):
    offered.put(*who)
    assert offered.ledger.tallies.counts()["admitted"] == 0


@pytest.mark.parametrize(
    "what", ["a ring", "a tick", "time", "another epoch", "settling", "a late tick", "a rung bell"]
)
def test_it_is_gone_with(offered: LedgerScene, what: str):
    ledger = offered.ledger
    if what == "a ring":
        ledger.bell.ring()
    elif what == "a tick":
        ledger.handover.admit(offered.epoch, [], (), ledger.handover.successions()[0])
    elif what == "time":
        offered.let(5.1)
    elif what == "another epoch":
        ledger.leadership.resign("conductor-1")
        assert ledger.leadership.lead("conductor-2", 3600) is not None
    elif what == "settling":
        ledger.identity.settle(30)
    elif what == "a late tick":
        leave(offered, an_offer(), seen=7)
    else:
        ledger.bell.ring()
        ledger.handover.offer(offered.epoch, [an_offer()], ledger.handover.successions()[0])

    offered.put(an_entry("a"))

    assert offered.state("a") == "waiting"


@pytest.mark.parametrize("word", ["lane", "backlog", "node", "all"])
def test_the_word_of_the_operator_holds_at_once(offered: LedgerScene, word: str):
    control = offered.ledger.control
    if word == "lane":
        control.set_paused("cpu", True)
    elif word == "backlog":
        control.set_backlog_paused("night", True)
    elif word == "node":
        control.set_draining(True, NODE)
    else:
        control.set_draining(True)
    leave(offered, an_offer())

    offered.put(an_entry("a"))

    assert offered.state("a") == "waiting"


def test_it_never_goes_over_a_ceiling(scene: LedgerScene):
    scene.put(an_entry("a"))
    assert scene.admit("a") is None
    leave(scene, an_offer())

    scene.put(an_entry("b"))

    assert scene.state("b") == "waiting"


def test_only_the_leader_leaves_offers(offered: LedgerScene):
    with pytest.raises(Fenced):
        offered.ledger.handover.offer(offered.epoch - 1, [an_offer()], 0)
