"""Random chains on a small disk: never over it, never stuck where the serial order fits; the plain rule
gets stuck.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from graphs import a_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.policies import limits_of
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.core.chains.feasible_order import can_finish, largest_job, least_disk
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.chains import Chain, FileJob
from conductor.model.spec import JobSpec, TaskDecl

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "40")), deadline=None)
CATALOGUE = load_catalogue()


@st.composite
def workflows(draw: st.DrawFn) -> list[JobSpec]:
    """A few graphs of up to a dozen jobs; files of 1 to 20 bytes, each read by some of the later jobs."""
    seed, graphs = draw(st.integers(0, 10**6)), draw(st.integers(1, 3))
    return [spec for graph in range(graphs) for spec in a_graph(random.Random(seed + graph), graph)]


def run(specs: list[JobSpec], disk: int, policy: str, **limits: Any) -> World:
    node = cluster.NodeKind(name="host", cpu_milli=4000, scratch_bytes=disk)
    world = World(
        Workload(specs, CATALOGUE, True),
        cluster.reports((node,)),
        structs.replace(limits_of(policy), **limits),
    )
    world.run()
    return world


def serial_disk(specs: list[JobSpec]) -> int:
    """The smallest disk on which each chain, one after the other, is known to finish."""
    return max((least_disk(chain) for chain in Workload(specs, CATALOGUE, True).chains), default=20)


@few
@given(workflows(), st.sampled_from([1.0, 1.05, 1.3, 2.0]))
def test_never_over_the_disk_and_never_stuck_where_the_serial_order_fits(
    specs: list[JobSpec], room: float
) -> None:
    disk = max(int(serial_disk(specs) * room), 20)

    world = run(specs, disk, "auto")

    assert (world.stuck, world.hosts.overruns, world.never.refused) == (0, 0, [])
    assert world.done == len(specs)
    assert world.hosts.peak_disk <= disk


@pytest.mark.parametrize(
    ("seed", "graphs"),
    [
        # No rule finds its way once the first job is done, where it does before.
        *[(135502, 1), (676584, 1), (941540, 2), (6446, 3)],
        # A job of no chain, that must not start yet, stood before one of a chain in the same class.
        (646703, 2),
    ],
)
def test_what_once_got_stuck_finishes(seed: int, graphs: int) -> None:
    specs = [spec for graph in range(graphs) for spec in a_graph(random.Random(seed + graph), graph)]

    world = run(specs, max(serial_disk(specs), 20), "auto")

    assert (world.stuck, world.hosts.overruns, world.never.refused, world.done) == (0, 0, [], len(specs))


@few
@given(workflows(), st.sampled_from(["threshold", "threshold_frees", "threshold_critical"]))
def test_the_plain_rule_is_never_over_the_disk_either(specs: list[JobSpec], policy: str) -> None:
    world = run(specs, max(serial_disk(specs), 20), policy)

    assert world.hosts.overruns == 0


def test_the_plain_rule_gets_stuck_on_the_same_cases() -> None:
    stuck = 0
    for seed in range(60):
        specs = a_graph(random.Random(seed), 0)
        disk = max(serial_disk(specs), 20)
        assert run(specs, disk, "auto").stuck == 0
        stuck += run(specs, disk, "threshold").stuck > 0

    assert stuck > 5


@few
@given(workflows())
def test_below_the_smallest_disk_it_is_refused_with_one_that_would_do(specs: list[JobSpec]) -> None:
    chains = Workload(specs, CATALOGUE, True).chains
    if not chains:
        return
    needed = max(least_disk(chain) for chain in chains)

    world = run(specs, needed - 1, "auto")

    assert world.never.refused
    assert any(f"{needed} bytes would do" in sentence for sentence in world.never.refused)
    assert world.stuck == 0
    assert run(specs, max(needed, 20), "auto").never.refused == []


def test_the_largest_job_is_the_least_that_any_disk_must_hold() -> None:
    jobs = (
        FileJob(job_id="a", writes={"scratch:a": 10}),
        FileJob(job_id="b", writes={"scratch:b": 7}, reads=("scratch:a",), after=("a",)),
        FileJob(job_id="c", writes={"scratch:c": 1}, reads=("scratch:b",), after=("b",)),
    )
    chain = Chain(id="a", jobs=jobs)

    assert (largest_job(chain), least_disk(chain)) == (17, 17)
    assert can_finish(chain, 17)
    assert not can_finish(chain, 16)


def test_the_task_of_a_trace_is_declared() -> None:
    assert isinstance(CATALOGUE["trace.job"], TaskDecl)
