"""Pilots of an engine that lies, and of conductors that are killed at every step: none is lost, none is made
twice. PILOT_ROUNDS=1000 runs each of them so many times."""

from __future__ import annotations

import os
from random import Random

import pytest
from lying_engine import LIES, KilledAt
from pilot_world import PilotWorld

#: In the suite; by hand a thousand.
ROUNDS = int(os.environ.get("PILOT_ROUNDS", "6"))
SEED = int(os.environ.get("PILOT_SEED", "16"))
#: Looks until all that was lost is given up, told to end, and asked for anew.
SETTLING = 400


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_lies_loses_no_pilot_and_makes_none_twice(lie: str) -> None:
    for number in range(ROUNDS):
        seed = SEED * 100_000 + number
        play(seed, lie)


def test_a_conductor_killed_before_or_after_any_call_loses_no_pilot_and_makes_none_twice() -> None:
    for number in range(ROUNDS * 4):
        seed = SEED * 100_000 + number
        play(seed, Random(seed).choice(("", *LIES)), kills=3)


def play(seed: int, lie: str, kills: int = 0) -> None:
    random = Random(seed)
    world = PilotWorld(random, lie)
    try:
        world.put_work(random.choice((1, 2, 9)))
        for _ in range(kills):
            death = KilledAt(random.randint(1, 25), is_after=random.random() < 0.5)
            world.look(world.conductor(death), times=random.randint(1, 20))
            world.check()
        conductor = world.conductor()
        for _ in range(random.randint(5, 60)):
            world.look(conductor)
            world.check()
        world.engine.is_honest = True
        settle(world, conductor)
        world.check_settled(min(world.most, 2 * world.waiting))
        # The work is over: all are given back.
        world.waiting = 0
        settle(world, world.conductor())
        world.check_settled(0)
    except AssertionError as e:
        raise AssertionError(f"seed {seed}, {lie or 'no lie'}, {kills} kills: {e}") from e


def settle(world: PilotWorld, conductor: object) -> None:
    for _ in range(SETTLING):
        world.look(conductor)  # pyright: ignore[reportArgumentType]
        world.check()
