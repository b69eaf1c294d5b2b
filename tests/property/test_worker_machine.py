"""The machine of a worker, whatever comes of its actions and in whatever order it hears of the rest.

What was started in the ledger is ended, returned, or in hand under a lease and a deadline, always. Nothing is
run twice here, nothing is published that the ledger did not let begin, nothing goes back that has begun, and
a stop ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machine_scene import MachineScene, placed

from workers.task_api.failure_causes import AttemptFault

FEW = int(os.environ.get("PROPERTY_EXAMPLES", "100"))
#: Actions within which a worker that is told to leave at once has left, whatever it has in hand.
MOST = 2000


SEEDS = st.integers(0, 2**32 - 1)
RARELY = st.sampled_from([*[False] * 9, True])


def soonest(ways: Sequence[Any]) -> Any:
    return ways[0]


class WorkerLife(RuleBasedStateMachine):
    """Between any two actions the ledger, the operator, the child and the clock do as they like."""

    @initialize(most=st.sampled_from([1, 1, 2, 5]), is_by_hand=RARELY)
    def begin(self, most: int, is_by_hand: bool) -> None:
        self.scene = MachineScene(soonest, most, [("job00000", 1)] if is_by_hand else ())

    # One number for many outcomes: a draw for each would leave none for the steps behind them.
    @rule(seed=SEEDS, count=st.integers(1, 10))
    def act_some(self, seed: int, count: int) -> None:
        self.act(seed, count)

    @rule(seed=SEEDS)
    def act_much(self, seed: int) -> None:
        self.act(seed, 30)

    def act(self, seed: int, count: int) -> None:
        if self.scene.has_left:
            self.end()
            self.begin(5, False)
        dice = Random(seed)
        for _ in range(count):
            # The child and the ledger do not wait for anybody's turn.
            for meddle in (self.scene.go_on, self.scene.name_successor):
                self.scene.pick = soonest if dice.random() < 0.8 else dice.choice
                if dice.random() < 0.25:
                    meddle()
            self.scene.pick = dice.choice
            if not self.scene.act():
                return
            self.scene.check()

    @precondition(lambda self: self.scene.is_there)
    @rule(is_so=RARELY)
    def child_dies(self, is_so: bool) -> None:
        if is_so:
            self.scene.runs, self.scene.is_there = None, False

    @precondition(lambda self: self.scene.running)
    @rule(data=st.data(), is_void=st.booleans(), has_stepped_back=st.booleans())
    def ledger_names_a_successor(self, data: st.DataObject, is_void: bool, has_stepped_back: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.scene.running)))
        self.scene.pick = soonest
        if key not in self.scene.preloaded:
            self.scene.preload(key)
        elif is_void:
            self.scene.tell(key, self.scene.preloaded[key], None)
        elif has_stepped_back:
            # The word that was read is in the worker's feed again.
            self.scene.tell(key, self.scene.preloaded[key], self.scene.preloaded[key])

    @precondition(lambda self: self.scene.leased)
    @rule(data=st.data(), is_so=RARELY, word=st.sampled_from(["gone", "cancel", "overran"]))
    def lease(self, data: st.DataObject, is_so: bool, word: Any) -> None:
        if not is_so:
            return
        scene, key = self.scene, data.draw(st.sampled_from(sorted(self.scene.leased)))
        if word == "overran":
            scene.machine.interrupts.overran(key, AttemptFault("host_oom", "it takes too much"))
            return
        scene.machine.interrupts.lease(key, word)
        if word == "gone":
            scene.ends(key)

    @rule(is_so=RARELY)
    def told_to_leave(self, is_so: bool) -> None:
        self.scene.level += is_so
        self.scene.machine.interrupts.leave(self.scene.level)

    @rule(seconds=st.sampled_from([0.01, 0.01, 0.06, 0.06, 0.2, 3.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.now += seconds

    @invariant()
    def what_was_started_is_somewhere(self) -> None:
        if hasattr(self, "scene"):
            self.scene.check()

    def teardown(self) -> None:
        if hasattr(self, "scene"):
            self.end()

    def end(self) -> None:
        scene = self.scene
        scene.pick, scene.level = soonest, max(scene.level, 1)
        scene.machine.interrupts.leave(scene.level)
        for _ in range(MOST):
            if not scene.act():
                break
            scene.check()
        assert scene.has_left, "a stop ends"
        assert not scene.leased and not [*placed(scene.machine)], "it leaves with something in hand"
        assert not scene.heard & scene.running.keys() or scene.level > 1, "neither ended nor returned"


TestWorkerLife = WorkerLife.TestCase
TestWorkerLife.settings = settings(
    max_examples=FEW,
    stateful_step_count=50,
    deadline=None,
    database=None,
    # To trace what failures have in common costs minutes, and the steps are printed in any case.
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def test_a_body_that_hangs_is_killed_at_its_time():
    def hangs(ways: Sequence[Any]) -> Any:
        if "silence" in ways:
            return "silence"
        return ways[-1] if ways[0] == 0 else ways[0]

    scene = MachineScene(hangs, 1)
    for _ in range(20):
        scene.act()
        scene.check()
        if scene.killed_for:
            break
    assert scene.killed_for == ["timeout"]


def test_a_successor_that_is_named_once_more_is_not_refused():
    """A server that stepped back has the word in the worker's feed again; the body may begin any moment."""

    def goes_on(ways: Sequence[Any]) -> Any:
        if "woken" in ways:
            return "woken"
        # So many are started: one. Else the first.
        return ways[-1] if type(ways[0]) is int else ways[0]

    scene = MachineScene(goes_on, 1)
    acted = 0
    while scene.machine.hand.running is None and (acted := acted + 1) < 20:
        scene.act()
    scene.name_successor()
    (key, started), *_ = scene.preloaded.items()
    while scene.machine.hand.successor is None and (acted := acted + 1) < 40:
        scene.act()
    assert scene.machine.hand.successor is not None

    scene.tell(key, started, started)
    for _ in range(5):
        scene.act()
    assert scene.machine.hand.successor is not None and not scene.machine.hand.not_begun
    assert scene.preloaded, "nor was the ledger told so"
