"""A body is short by what it runs and waits for itself, not by what others take of the machine meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machine_scene import MachineScene

from workers.machine.actions import LookAtBody, SendTurn, TakeBack
from workers.machine.body_watch import LONG_ANYWAY_S, LONG_S, LOOK_AGAIN_S


def the_middle(ways: Sequence[Any]) -> Any:
    """All goes well, and several are started in a turn."""
    return ways[len(ways) // 2]


def several_given() -> MachineScene:
    scene = MachineScene(the_middle, 5)
    while len(scene.machine.hand.given) < 2:
        assert scene.act()
    return scene


def next_action(scene: MachineScene) -> object:
    """Whatever has only to be noted is."""
    while (ordered := scene.machine.ordered()) is not None:
        getattr(scene, "on_" + type(ordered).__name__)(ordered)
    return scene.machine.next(scene.now)


def test_what_waits_behind_a_body_that_had_a_core_goes_to_others():
    scene = several_given()
    scene.now += LONG_S

    assert isinstance(next_action(scene), LookAtBody)
    scene.machine.row.looked(True, scene.now)

    assert isinstance(next_action(scene), TakeBack)


def test_behind_one_that_had_no_core_it_stays_for_a_while():
    scene = several_given()
    began = scene.now
    scene.now += LONG_S
    assert isinstance(next_action(scene), LookAtBody)
    scene.machine.row.looked(False, scene.now)

    assert not isinstance(next_action(scene), (LookAtBody, TakeBack))
    scene.now += LOOK_AGAIN_S
    assert isinstance(next_action(scene), LookAtBody)
    # Other hosts may have cores.
    scene.now = began + LONG_ANYWAY_S
    scene.machine.row.looked(False, scene.now)
    assert isinstance(next_action(scene), TakeBack)


def told(seconds: float, run_delay_s: float) -> dict[str, float]:
    """What the ledger hears of the tasks of such bodies."""
    scene = several_given()
    scene.took = seconds, run_delay_s
    while True:
        action = scene.machine.next(scene.now)
        if isinstance(action, SendTurn) and action.turn.done:
            return dict(action.turn.news)
        getattr(scene, "on_" + type(action).__name__)(action)


def test_a_task_is_as_long_as_it_ran_and_waited_for_itself():
    assert [round(pace, 3) for pace in told(1.0, 0.998).values()] == [0.002], "others had the cores"
    assert told(1.0, 0.0) == {}, "one that sleeps is not short"
