"""A successor that lies ready in its predecessor's child, or runs there before the ledger knows: hit at every
point, both are published exactly once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.model.spec import JobSpec, Needs
from conductor.ports import Ledger
from tests.chaos import checker
from tests.chaos.jobs import EFFECTS, made
from tests.chaos.test_crash_points import (
    arm,
    is_published_once,
    one_world,
    reached,
    running,
    strike,
    strike_worker,
)
from tests.chaos.world import ChaosWorld

#: Of the successor: it lies ready; its predecessor ended, and it runs.
LIES = ("heard", "preloaded")
OF_SUCCESSOR = (*LIES, "before follow", "followed")
#: Of the predecessor, while the successor runs beside what is left to do.
OF_FIRST = ("body ended", "before link", "linked", "before receipt", "receipt", "accepted")

#: Bytes that a job may write.
FILES = 2**26

numbers = count(5000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosWorld]:
    with one_world(tmp_path_factory.mktemp("successors")) as world:
        yield world


@pytest.mark.parametrize("act", ["kill body", "kill worker", "kill both", "term", "stop"])
@pytest.mark.parametrize("name", [*OF_SUCCESSOR, *OF_FIRST])
def test_a_successor_hit_at_any_point_is_published_once(world: ChaosWorld, name: str, act: str):
    first, successor = preloaded(world, name)
    if name not in LIES:
        release(world, first)
    pid = reached(world)
    release(world, first)

    strike_worker(world, act, pid, first)

    is_published_once(world, first)
    is_published_once(world, successor)


def test_a_successor_begins_before_the_ledger_is_asked(world: ChaosWorld):
    """The control: else none of this is tried."""
    before = ahead(world)
    first, successor = preloaded(world, "none")
    release(world, first)

    is_published_once(world, first)
    is_published_once(world, successor)

    assert ahead(world) == before + 1


@pytest.mark.parametrize("how", ["cancel", "pause", "fails"])
def test_a_successor_whose_predecessor_or_lane_changes_its_mind_is_no_more_than_a_waiting_job(
    world: ChaosWorld, how: str
):
    first, successor = preloaded(world, "none", ends_flaky=how == "fails")
    match how:
        case "cancel":
            until_taken_back(world, lambda ledger: ledger.commands.cancel(successor.id))
            release(world, first)
            world.until(lambda: world.state(first.id) == "d", "the first one is done")
            assert world.state(successor.id) == "c"
            assert begun(world, successor) == 0
            return
        case "pause":
            until_taken_back(world, lambda ledger: ledger.control.set_paused("cpu", True))
            release(world, first)
            world.until(lambda: world.state(first.id) == "d", "the first one is done")
            assert world.state(successor.id) == "w"
            assert begun(world, successor) == 0
            told(world, lambda ledger: ledger.control.set_paused("cpu", False))
        case _:
            release(world, first)
    is_published_once(world, first)
    is_published_once(world, successor)
    assert begun(world, successor) == 1


@pytest.mark.parametrize("act", ["kill", "stop"])
@pytest.mark.parametrize("name", ["before admit", "admitted"])
def test_a_conductor_hit_while_it_lines_up_a_successor_feeds_each_once(
    world: ChaosWorld, name: str, act: str
):
    first, successor = until_released(), whole(seconds=0.05)
    world.put(first)
    world.until(lambda: running(world, first), "it runs")
    arm(world.folder, name)
    world.put(successor)
    pid = reached(world)
    release(world, first)

    strike(world, act, pid, until=world.is_over)

    is_published_once(world, first)
    is_published_once(world, successor)


# ── the parts of a case ───────────────────────────────────────────────────────────────────────────────────


def whole(**args: object) -> JobSpec:
    """It wants all cores: what waits for it can only be its successor. Most may write, which is claimed."""
    n = next(numbers)
    needs = Needs(cpu=float(os.cpu_count() or 1), scratch_bytes=n % 3 * FILES)
    return made(n, "chaos.step", {"n": n, **args}, outputs=2, needs=needs)


def until_released(**args: object) -> JobSpec:
    """Its body lasts until `release`, and a moment longer: begun again it would end at once, and behind
    bodies of a few milliseconds nobody is preloaded (`SHORTEST_S` in preload.lua).
    """
    return whole(until=f"released-{secrets.token_hex(4)}", seconds=0.02, **args)


def release(world: ChaosWorld, job: JobSpec) -> None:
    (world.folder / job.args["until"]).touch()


def preloaded(world: ChaosWorld, name: str, **args: object) -> tuple[JobSpec, JobSpec]:
    """A body that runs until it is released, and its successor: in its child, or its worker stands still on
    the way there."""
    first, successor = until_released(**args), whole(seconds=0.3)
    world.put(first)
    world.until(lambda: running(world, first), "it runs")
    arm(world.folder, name, successor if name in OF_SUCCESSOR else first)
    world.put(successor)
    if name not in LIES:
        world.until((world.folder / "stop" / f"given {successor.id}").exists, "the child has the successor")
    return first, successor


def until_taken_back(world: ChaosWorld, verb: Callable[[Ledger], object]) -> None:
    """The operator's word has come to the worker that had given the successor to its child."""
    mark = world.folder / "stop" / "taken back"
    mark.unlink(missing_ok=True)
    told(world, verb)
    world.until(mark.exists, "the child has the successor no more")


def told(world: ChaosWorld, verb: Callable[[Ledger], object]) -> None:
    """The operator's word, without a process of its own: the successor begins in less time than that
    takes.
    """
    with connect(valkey.place_of(world.settings.valkey).url) as client:
        verb(redis_ledger(client))


def ahead(world: ChaosWorld) -> int:
    return int(world.asked(lambda r: r.get("conductor:early_successions") or 0))


def begun(world: ChaosWorld, job: JobSpec) -> int:
    """Under whatever number."""
    return sum(
        n for (job_id, _), n in checker.read_effects(Path(world.folder) / EFFECTS).items() if job_id == job.id
    )
