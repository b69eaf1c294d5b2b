"""Jobs that an engine runs one by one, an engine that lies, conductors that are killed at every step: none
is lost, done twice, or submitted twice. PILOT_ROUNDS=1000 runs each of them so many times.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from lying_engine import LIES, KilledAt
from single_job_world import SingleJobWorld

#: In the suite; by hand a thousand.
ROUNDS = int(os.environ.get("PILOT_ROUNDS", "3"))
SEED = int(os.environ.get("PILOT_SEED", "16"))
#: Looks until all that was lost is given up, and done by others.
SETTLING = 900


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_lies_loses_no_job_and_does_none_twice(lie: str) -> None:
    for number in range(ROUNDS):
        play(SEED * 100_000 + number, lie)


def test_a_conductor_killed_before_or_after_any_call_loses_no_job_and_submits_none_twice() -> None:
    for number in range(ROUNDS * 4):
        seed = SEED * 100_000 + number
        play(seed, Random(seed).choice(("", *LIES)), kills=3)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_each_step_of_the_first_look_may_be_the_last_one_also_where_lists_are_empty_then(
    is_after: bool,
) -> None:
    for number in range(1, 16):
        world = SingleJobWorld(Random(number), "empty_lists", deaths=0.0, share=1.0)
        world.starts = (60.0,)
        world.put_work(2)
        world.report("", world.clock.now())
        world.look(world.conductor(KilledAt(number, is_after=is_after)), times=3)
        world.look(world.conductor(), times=3)
        world.engine.is_honest = True
        settle(world)
        world.check_settled()


def test_what_is_cancelled_while_it_waits_there_leaves_the_engine() -> None:
    world = SingleJobWorld(Random(1), most=2, cores=1, deaths=0.0)
    world.put_work(2)
    conductor = world.conductor()
    world.look(conductor, times=4)
    (key,) = [key for key, job in world.inner.watch().jobs.items() if job.state == "pending"]
    submission = world.ledger.pilots.states().submissions[key]

    world.ledger.commands.cancel(submission.job_id)
    world.look(conductor, times=2)

    assert world.inner.find([key])[key].end == "cancelled"
    assert world.views()[submission.job_id].state == "cancelled"
    assert key not in world.ledger.pilots.states().submissions


def test_an_engine_on_which_nothing_comes_to_life_is_left_alone_for_longer_and_longer() -> None:
    world = SingleJobWorld(Random(1), deaths=0.0)
    world.is_broken = True
    world.put_work(3)
    conductor = world.conductor()
    world.look(conductor, times=300)

    assert "did not come to life" in world.why_not and "failed" in world.why_not
    assert len(world.bodies) < 30, "ten minutes, and each of them a submission"
    world.is_broken = False
    settle(world)
    world.check_settled()


def settle(world: SingleJobWorld) -> None:
    conductor = world.conductor()
    for _ in range(SETTLING):
        if world.is_done() and not world.ledger.pilots.states().submissions:
            break
        world.look(conductor)


def play(seed: int, lie: str, kills: int = 0) -> None:
    random = Random(seed)
    world = SingleJobWorld(random, lie)
    try:
        world.put_work(random.choice((1, 3, 8)))
        for _ in range(kills):
            death = KilledAt(random.randint(1, 30), is_after=random.random() < 0.5)
            world.look(world.conductor(death), times=random.randint(1, 20))
        world.look(world.conductor(), times=random.randint(5, 60))
        world.engine.is_honest = True
        settle(world)
        world.check_settled()
    except AssertionError as e:
        raise AssertionError(f"seed {seed}, {lie or 'no lie'}, {kills} kills: {e}") from e
