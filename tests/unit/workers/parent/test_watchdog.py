"""The watchdog: what it sees of a row of bodies and of the main thread, and what it does about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from conductor.adapters.host import stopped_processes
from workers.parent import watchdog
from workers.parent.watchdog import EX_TEMPFAIL, GRACE_S, STANDS_LEAST_S, STANDS_MOST_S, Watchdog

TIMEOUT_S = 2.0
LEASE_S = 10.0


class WatchedHost:
    def __init__(self) -> None:
        self.pid, self.unbegun, self.unheard = 41, 0, 0
        self.frozen = SimpleNamespace(is_on=False)
        self.struck: list[int] = []

    def unbegun_now(self) -> int:
        return self.unbegun

    def unheard_ends(self) -> int:
        return self.unheard

    def strike(self, pid: int) -> bool:
        self.struck.append(pid)
        return True


class WatchdogScene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host, self.now, self.cpu_s = WatchedHost(), 100.0, 1.0
        self.stopping = SimpleNamespace(is_at_rest=True, rested=0)
        self.course = SimpleNamespace(turns=1, longest_s=TIMEOUT_S, struck=0)
        self.hand = SimpleNamespace(given=["first"], reported=lambda: (("job00001", 1),))
        self.left: list[int] = []
        monkeypatch.setattr(watchdog, "_cpu_s", lambda thread: self.cpu_s)
        freezer = cast(Any, SimpleNamespace(look=lambda hand: None))
        self.dog = Watchdog(
            cast(Any, self.host), cast(Any, self.stopping), LEASE_S, freezer, self.left.append
        )
        self.dog.over(cast(Any, self.course), cast(Any, self.hand))

    def watch(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1.0
            self.dog.look(self.now)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> WatchdogScene:
    return WatchdogScene(monkeypatch)


LATE_S = TIMEOUT_S + GRACE_S + 2


def test_a_body_over_its_time_is_ended_whatever_the_main_thread_waits_for(scene: WatchdogScene):
    scene.watch(TIMEOUT_S + GRACE_S - 1)
    assert scene.host.struck == []
    scene.watch(3)
    assert scene.host.struck == [41]
    assert scene.course.struck == 41, "its end is called what it was"


@pytest.mark.parametrize("moves", ["ticket", "turn"])
def test_bodies_that_follow_each_other_are_each_given_their_time(scene: WatchdogScene, moves: str):
    scene.host.unbegun = 9
    scene.hand.given = ["one"] * 10
    for _ in range(9):
        scene.watch(TIMEOUT_S)
        scene.host.unbegun -= moves == "ticket"
        scene.course.turns += moves == "turn"
    assert scene.host.struck == []


def test_a_child_whose_bodies_have_all_ended_unheard_is_left_alone(scene: WatchdogScene):
    """The main thread waits for Redis: an hour of that is no body's fault."""
    scene.hand.given, scene.host.unheard = ["one"] * 3, 3
    scene.watch(LATE_S * 5)
    assert scene.host.struck == []
    scene.hand.given = ["one"] * 4
    scene.watch(LATE_S)
    assert scene.host.struck == [41], "a fourth one has begun, and hangs"


def test_who_was_stopped_with_the_whole_process_draws_no_conclusion(scene: WatchdogScene):
    scene.watch(3)
    scene.now += 1000
    scene.watch(3)
    assert scene.host.struck == [] and scene.left == []


def test_a_main_thread_that_stands_still_with_work_in_hand_ends_the_worker(scene: WatchdogScene):
    scene.hand.given, scene.stopping.is_at_rest = [], False
    scene.watch(STANDS_LEAST_S - 1)
    assert scene.left == []
    scene.watch(3)
    assert scene.left == [EX_TEMPFAIL]
    assert scene.host.struck == [41], "its child does not outlive it"


def test_with_a_longer_body_it_is_given_longer_and_not_for_ever(scene: WatchdogScene):
    scene.hand.given, scene.stopping.is_at_rest, scene.course.longest_s = [], False, 10_000.0
    scene.watch(STANDS_MOST_S - 1)
    assert scene.left == []
    scene.watch(3)
    assert scene.left == [EX_TEMPFAIL]


@pytest.mark.parametrize("sign", ["rests", "rested", "computes", "nothing in hand"])
def test_a_main_thread_that_shows_signs_of_life_is_left_alone(scene: WatchdogScene, sign: str):
    scene.hand.given, scene.stopping.is_at_rest = [], sign == "rests"
    if sign == "nothing in hand":
        scene.hand.reported = tuple
    for _ in range(5):
        scene.watch(STANDS_LEAST_S - 10)
        scene.stopping.rested += sign == "rested"
        scene.cpu_s += 0.001 * (sign == "computes")
    assert scene.left == []


@pytest.mark.parametrize("given", [["first"], []], ids=["with a body", "idle"])
def test_a_child_that_somebody_has_stopped_is_ended_after_a_lease(
    scene: WatchdogScene, given: list[str], monkeypatch: pytest.MonkeyPatch
):
    stood = {41}
    monkeypatch.setattr(stopped_processes, "is_stopped", stood.__contains__)
    scene.hand.given, scene.course.longest_s = given, 1000.0
    scene.watch(LEASE_S - 1)
    stood.clear()
    scene.watch(1)
    stood.add(41)
    scene.watch(LEASE_S)
    assert scene.host.struck == [], "it went on in between"
    scene.watch(2)
    assert scene.host.struck[:1] == [41] and scene.course.stood_still[0] == 41
