"""Jobs that an engine runs one by one, an engine that lies, conductors that are killed at every step: none
is lost, done twice, or submitted twice. PILOT_ROUNDS=1000 runs each of them so many times.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from builders import a_report
from ledger_scenes import a_class, an_entry
from lying_engine import LIES, KilledAt
from single_job_world import SingleJobWorld

from conductor.model.engine import Submission, SubmitAnswer
from conductor.model.pilot import EngineState
from conductor.model.reason import Reason

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
        world.report(EngineState(name="lab"), world.clock.now())
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


def test_what_the_engine_refuses_is_kept_from_it_and_all_else_goes_on() -> None:
    world = SingleJobWorld(Random(1), most=4, deaths=0.0)
    refused = put_refused(world, "gpus", jobs=4)
    world.put_work(6)
    conductor = world.conductor()
    world.look(conductor, times=150)

    assert all(world.views()[job_id].state == "done" for job_id in world.jobs)
    assert world.why_not == ""
    assert len(refused) == 4, "in five minutes: at once, after 30 s, 60 s, and 2 minutes more"
    hold = world.held("gpus")
    assert [(v.where, v.detail.words) for v in hold.closed if v.reason is Reason.ENGINE_REFUSES] == [
        ("lab", "Invalid generic resource (gres) specification")
    ]


def test_an_engine_that_refuses_whatever_is_asked_is_left_alone_as_a_whole() -> None:
    world = SingleJobWorld(Random(1), most=4, deaths=0.0)
    for name in ("one", "two", "three", "four"):
        refused = put_refused(world, name, jobs=1)
    world.look(world.conductor(), times=150)

    assert "Invalid generic resource" in world.why_not
    assert len(refused) < 20


def test_a_host_that_has_the_name_of_the_engine_keeps_its_report_and_its_jobs() -> None:
    world = SingleJobWorld(Random(1), most=2, deaths=0.0)
    host = a_report("lab", sent_at=world.clock.now(), devices=0)
    world.ledger.reports.publish(host, 1e9)
    world.put_work(2)
    world.look(world.conductor(), times=3)

    assert [r.node for r in world.ledger.handover.reservations()] == ["lab", "lab"]
    assert not world.bodies
    assert world.ledger.reports.live()[0].single_jobs is None
    assert "needs another name" in world.ledger.pilots.states().engines["lab"].why_not


def put_refused(world: SingleJobWorld, name: str, jobs: int) -> list[str]:
    """Jobs of a class of this name, none of which the engine ever takes; what it has refused so far."""
    entries = [an_entry(f"{name}-{n:04d}", a_class(name, duration_s=20.0)) for n in range(jobs)]
    world.ledger.intake.put("night", entries)
    ids, take, refused = {entry.job_id for entry in entries}, world.engine.submit, list[str]()

    def submit(key: str, submission: Submission) -> SubmitAnswer:
        if submission.argv[1] not in ids:
            return take(key, submission)
        refused.append(key)
        return SubmitAnswer(outcome="refused", words="Invalid generic resource (gres) specification")

    world.engine.submit = submit
    return refused


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
