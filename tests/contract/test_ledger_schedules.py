"""Where the schedules stand, over Redis and over the twin: a fire is taken once, and over once."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene

from conductor.base.errors import Fenced
from conductor.model.schedule import FireEnd, ScheduleState

NAME = "nightly"
AT = 1_774_830_600
LEASE_S = 30.0


def an_end(scene: LedgerScene, instant: int = AT, **more: object) -> FireEnd:
    now = scene.ledger.bell.now()
    return FireEnd(instant=instant, began_at=now - 1, ended_at=now, **{"outcome": "fired", **more})


def state_of(scene: LedgerScene) -> ScheduleState:
    return scene.ledger.schedules.states()[NAME]


def test_nothing_is_known_of_a_schedule_that_nobody_named(scene: LedgerScene) -> None:
    assert scene.ledger.schedules.states() == {}

    scene.ledger.schedules.know(NAME, AT)

    assert scene.ledger.schedules.states() == {NAME: ScheduleState(name=NAME, handled_to=AT)}


def test_what_was_handled_never_goes_back(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    book.know(NAME, AT)
    book.know(NAME, AT - 60)
    assert state_of(scene).handled_to == AT
    book.know(NAME, AT + 60, is_paused=True)
    book.know(NAME, 0)
    assert state_of(scene) == ScheduleState(name=NAME, handled_to=AT + 60, is_paused=True)
    book.know(NAME, 0, is_paused=False)
    assert not state_of(scene).is_paused


def test_one_fire_is_taken_by_one_of_two_leaders(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    taken = book.take(NAME, AT, "one", LEASE_S, scene.epoch)

    assert taken is not None and taken == state_of(scene) and taken.taken is not None
    assert (taken.taken.instant, taken.taken.owner, taken.taken.is_by_hand) == (AT, "one", False)
    assert taken.taken.since < taken.taken.until <= taken.taken.since + LEASE_S + 0.01
    assert book.take(NAME, AT, "two", LEASE_S, scene.epoch) is None
    assert book.take(NAME, AT + 60, "two", LEASE_S, scene.epoch) is None, "one at a time"
    assert book.end(NAME, "one", an_end(scene, jobs=3))
    assert book.take(NAME, AT, "two", LEASE_S, scene.epoch) is None, "it is over"
    assert book.take(NAME, AT + 60, "two", LEASE_S, scene.epoch) is not None


def test_a_leader_that_was_replaced_takes_nothing(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    with pytest.raises(Fenced):
        book.take(NAME, AT, "one", LEASE_S, scene.epoch - 1)
    with pytest.raises(Fenced):
        book.skip(scene.epoch - 1, NAME, AT, 1)
    with pytest.raises(Fenced):
        book.hold(scene.epoch - 1, NAME)
    assert scene.ledger.schedules.states() == {}


def test_a_fire_whose_leader_died_is_taken_up_again_and_not_lost(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    first = book.take(NAME, AT, "one", 0.02, scene.epoch)
    scene.let(0.03)
    assert book.take(NAME, AT + 60, "two", LEASE_S, scene.epoch) is None, "first what was broken off"

    again = book.take(NAME, AT, "two", LEASE_S, scene.epoch)

    assert first is not None and first.taken is not None and again is not None and again.taken is not None
    assert again.taken.owner == "two" and again.taken.since == first.taken.since
    assert not book.keep(NAME, AT, "one", LEASE_S)
    assert not book.end(NAME, "one", an_end(scene)), "it is the other one's now"
    assert state_of(scene).last is None
    assert book.keep(NAME, AT, "two", LEASE_S)
    assert book.end(NAME, "two", an_end(scene))


def test_a_renewed_lease_holds(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    book.take(NAME, AT, "one", 0.02, scene.epoch)
    assert book.keep(NAME, AT, "one", LEASE_S)
    scene.let(0.03)
    assert book.take(NAME, AT, "two", LEASE_S, scene.epoch) is None


def test_what_fires_came_to_is_counted(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    for n, outcome in enumerate(("fired", "failed", "fired")):
        book.take(NAME, AT + 60 * n, "one", LEASE_S, scene.epoch)
        end = an_end(scene, AT + 60 * n, outcome=outcome, words="naïve «words»", exit_code=n, output="/o")
        assert book.end(NAME, "one", end)
    assert book.skip(scene.epoch, NAME, AT + 600, 7)
    assert not book.skip(scene.epoch, NAME, AT + 600, 7), "said once"

    state = state_of(scene)

    assert (state.fired, state.failed, state.skipped, state.handled_to) == (2, 1, 7, AT + 600)
    assert state.taken is None and state.last is not None
    assert (state.last.words, state.last.exit_code, state.last.output) == ("naïve «words»", 2, "/o")


def test_what_waits_waits_since_it_first_did(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    assert book.hold(scene.epoch, NAME)
    since = state_of(scene).waits_since
    assert since > 0 and not book.hold(scene.epoch, NAME)
    assert state_of(scene).waits_since == since
    book.take(NAME, AT, "one", LEASE_S, scene.epoch)
    assert state_of(scene).waits_since == 0
    book.hold(scene.epoch, NAME)
    book.know(NAME, 0, is_paused=True)
    assert state_of(scene).waits_since == 0, "who is paused waits for nothing"


def test_a_fire_by_hand_moves_nothing_that_is_due(scene: LedgerScene) -> None:
    book = scene.ledger.schedules
    book.know(NAME, AT)

    taken = book.take(NAME, AT + 7, "me", LEASE_S)

    assert taken is not None and taken.taken is not None and taken.taken.is_by_hand
    assert book.take(NAME, AT + 60, "one", LEASE_S, scene.epoch) is None
    assert book.end(NAME, "me", an_end(scene, AT + 7))
    assert (state_of(scene).handled_to, state_of(scene).fired) == (AT, 1)
    assert book.take(NAME, AT - 5, "me", 0.02) is not None, "also after later ones"
    scene.let(0.03)
    again = book.take(NAME, AT - 5, "one", LEASE_S, scene.epoch)
    assert again is not None and again.taken is not None and again.taken.is_by_hand, "whoever ends it"
