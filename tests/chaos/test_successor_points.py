"""A successor that lies ready in its predecessor's child, or runs there before the ledger knows: hit at every
point, both are published exactly once."""

from __future__ import annotations

import os
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
OF_SUCCESSOR = ("heard", "preloaded", "before follow", "followed")
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
def test_an_successor_hit_at_any_point_is_published_once(world: ChaosWorld, name: str, act: str):
    first, successor = preloaded(world, name)

    strike_worker(world, act, reached(world), first)

    is_published_once(world, first)
    is_published_once(world, successor)


def test_an_successor_begins_before_the_ledger_is_asked(world: ChaosWorld):
    """The control: else none of this is tried."""
    before = ahead(world)
    first, successor = preloaded(world, "none")

    is_published_once(world, first)
    is_published_once(world, successor)

    assert ahead(world) == before + 1


@pytest.mark.parametrize("how", ["cancel", "pause", "fails"])
def test_an_successor_whose_predecessor_or_lane_changes_its_mind_is_no_more_than_a_waiting_job(
    world: ChaosWorld, how: str
):
    # Long enough for the word to come to the worker, on a busy machine too.
    first, successor = whole(seconds=2.0), whole(seconds=0.2)
    if how == "fails":
        first = whole(seconds=0.5, ends_flaky=True)
    world.put(first)
    world.until(lambda: running(world, first), "it runs")
    world.put(successor)
    world.until(lambda: first.id in preloaded_keys(world), "the successor is preloaded")
    match how:
        case "cancel":
            told(world, lambda ledger: ledger.commands.cancel(successor.id))
            world.until(lambda: world.state(first.id) == "d", "the first one is done")
            assert world.state(successor.id) == "c"
            assert begun(world, successor) == 0
            return
        case "pause":
            told(world, lambda ledger: ledger.control.set_paused("cpu", True))
            world.until(lambda: world.state(first.id) == "d", "the first one is done")
            assert world.state(successor.id) == "w"
            assert begun(world, successor) == 0
            told(world, lambda ledger: ledger.control.set_paused("cpu", False))
        case _:
            pass
    is_published_once(world, first)
    is_published_once(world, successor)
    assert begun(world, successor) == 1


@pytest.mark.parametrize("act", ["kill", "stop"])
@pytest.mark.parametrize("name", ["before admit", "admitted"])
def test_a_conductor_hit_while_it_lines_up_an_successor_feeds_each_once(
    world: ChaosWorld, name: str, act: str
):
    first, successor = whole(seconds=0.6), whole(seconds=0.05)
    world.put(first)
    world.until(lambda: running(world, first), "it runs")
    arm(world.folder, name)
    world.put(successor)

    strike(world, act, reached(world), until=world.is_over)

    is_published_once(world, first)
    is_published_once(world, successor)


# ── the parts of a case ───────────────────────────────────────────────────────────────────────────────────


def whole(**args: object) -> JobSpec:
    """It wants all cores: what waits for it can only be its successor. Most may write, which is claimed."""
    n = next(numbers)
    needs = Needs(cpu=float(os.cpu_count() or 1), scratch_bytes=n % 3 * FILES)
    return made(n, "chaos.step", {"n": n, **args}, outputs=2, needs=needs)


def preloaded(world: ChaosWorld, name: str) -> tuple[JobSpec, JobSpec]:
    first, successor = whole(seconds=0.5), whole(seconds=0.3)
    world.put(first)
    world.until(lambda: running(world, first), "it runs")
    arm(world.folder, name, successor if name in OF_SUCCESSOR else first)
    world.put(successor)
    if name != "heard":
        world.until(lambda: first.id in preloaded_keys(world), "the successor is preloaded", 5.0)
    return first, successor


def told(world: ChaosWorld, verb: Callable[[Ledger], object]) -> None:
    """The operator's word, without a process of its own: the successor begins in less time than that
    takes.
    """
    with connect(valkey.place_of(world.settings.valkey).url) as client:
        verb(redis_ledger(client))


def preloaded_keys(world: ChaosWorld) -> set[str]:
    return {key.decode() for key in world.asked(lambda r: r.hkeys("conductor:preloaded"))}


def ahead(world: ChaosWorld) -> int:
    return int(world.asked(lambda r: r.get("conductor:early_successions") or 0))


def begun(world: ChaosWorld, job: JobSpec) -> int:
    """Under whatever number."""
    return sum(
        n for (job_id, _), n in checker.read_effects(Path(world.folder) / EFFECTS).items() if job_id == job.id
    )
