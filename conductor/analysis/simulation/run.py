"""A manifest on a cluster that is only described: when would each job run, and what would it wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.figures import Figures, JobLine, figures
from conductor.analysis.simulation.policies import DEFAULT, limits_of
from conductor.analysis.simulation.workload import SimulatedJob, Workload
from conductor.analysis.simulation.world import World
from conductor.base.errors import ManifestError
from conductor.base.gc_pause import uncollected
from conductor.base.settings.limits import live
from conductor.model.limits import Limits
from conductor.model.spec import JobSpec, TaskDecl
from conductor.record.manifest import read

#: Lines of a manifest between two looks at the clock.
STEP = 2_000

Told = Callable[[int], None]


class Simulated(Struct, frozen=True, kw_only=True):
    """`refused`: a sentence for all that can never run there, with what would do."""

    figures: Figures
    refused: tuple[str, ...]
    lines: tuple[JobLine, ...]


def simulate(
    manifest: Path,
    cluster_file: Path,
    catalogue: Mapping[str, TaskDecl],
    rule: Limits,
    *,
    is_batch: bool = False,
    policy: str = DEFAULT,
    seed: int = 0,
    with_lines: bool = False,
    on_read: Told = lambda count: None,
    on_ended: Callable[[int, int], None] = lambda done, total: None,
) -> Simulated:
    """`rule`: the limits of the live conductor, whose `[waiting]` and shares are played too.

    `on_read`: told of jobs read, now and then; `on_ended`: of those that have ended, and all that can run.

    Raises `ManifestError`, `ConfigError` (the cluster), `UsageError` (the policy).
    """
    begin = time.monotonic()
    nodes = cluster.read(cluster_file)
    # Of 1,000,000 jobs nothing can be freed before the end: looking for it took an eighth of the time.
    with uncollected():
        workload = Workload(counted(known(manifest, catalogue), on_read), catalogue, is_batch)
        # As the live conductor would decide with so many nodes.
        world = World(workload, nodes, live(limits_of(policy, seed, rule), len(nodes)))
        # What can never run is out of it from the start.
        world.run(lambda: on_ended(world.done, len(world.jobs) - len(world.never.jobs)))
    lines = tuple(job_line(job) for job in world.jobs) if with_lines else ()
    found = figures(world, time.monotonic() - begin, policy)
    return Simulated(figures=found, refused=tuple(world.never.refused), lines=lines)


def counted(specs: Iterator[JobSpec], on_read: Told) -> Iterator[JobSpec]:
    for count, spec in enumerate(specs, 1):
        if not count % STEP:
            on_read(count)
        yield spec


def known(manifest: Path, catalogue: Mapping[str, TaskDecl]) -> Iterator[JobSpec]:
    for spec in read(manifest):
        if spec.task not in catalogue:
            raise ManifestError(
                f"{manifest}: job {spec.id} names the task {spec.task!r}, which nobody declares"
            )
        yield spec


def job_line(job: SimulatedJob) -> JobLine:
    return JobLine(
        id=job.id,
        start_s=job.start_s,
        end_s=job.end_s,
        node=job.node,
        device=",".join(job.devices) or None,
    )
