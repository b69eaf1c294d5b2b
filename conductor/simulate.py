"""A manifest on a cluster that is only described: when would each job run, and what would it wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from conductor.errors import ManifestError
from conductor.limits import live
from conductor.manifest import read
from conductor.model.spec import JobSpec, TaskDecl
from conductor.simulation import cluster
from conductor.simulation.figures import Figures, JobLine, figures
from conductor.simulation.policies import DEFAULT, limits_of
from conductor.simulation.workload import Job, Workload
from conductor.simulation.world import World

#: Something is said of how far it is no more often than that; what is over sooner says nothing.
EVERY_S = 5.0
#: Lines of a manifest between two looks at the clock.
STEP = 2_000

Say = Callable[[str], None]


class Progress:
    """How far it is, said every few seconds."""

    def __init__(self, say: Say | None, every_s: float = EVERY_S) -> None:
        self._say = say
        self._every_s = every_s
        self._begun = self._said = time.monotonic()

    def tell(self, what: str) -> None:
        now = time.monotonic()
        if self._say is not None and now - self._said >= self._every_s:
            self._said = now
            self._say(f"{what}, {now - self._begun:.0f} s")

    def read(self, specs: Iterator[JobSpec]) -> Iterator[JobSpec]:
        for count, spec in enumerate(specs, 1):
            if not count % STEP:
                self.tell(f"{count:,} jobs read")
            yield spec

    def ran(self, world: World) -> None:
        # What can never run is out of it from the start.
        able = len(world.jobs) - len(world.infeasible)
        self.tell(f"{world.done:,} of {able:,} jobs have ended by second {world.now:,.0f} of the simulated time")


class Simulated(Struct, frozen=True, kw_only=True):
    """`refused`: a sentence for all that can never run there, with what would do."""

    figures: Figures
    refused: tuple[str, ...]
    lines: tuple[JobLine, ...]


def simulate(
    manifest: Path,
    cluster_file: Path,
    catalogue: Mapping[str, TaskDecl],
    *,
    is_batch: bool = False,
    policy: str = DEFAULT,
    seed: int = 0,
    with_lines: bool = False,
    progress: Progress | None = None,
) -> Simulated:
    """Raises `ManifestError`, `ConfigError` (the cluster), `UsageError` (the policy)."""
    begin, progress = time.monotonic(), progress or Progress(None)
    workload = Workload(progress.read(known(manifest, catalogue)), catalogue, is_batch)
    nodes = cluster.read(cluster_file)
    # As the live conductor would decide with so many nodes.
    world = World(workload, nodes, live(limits_of(policy, seed), len(nodes)))
    world.run(lambda: progress.ran(world))
    lines = tuple(job_line(job) for job in world.jobs) if with_lines else ()
    found = figures(world, time.monotonic() - begin)
    return Simulated(figures=found, refused=tuple(world.refused), lines=lines)


def known(manifest: Path, catalogue: Mapping[str, TaskDecl]) -> Iterator[JobSpec]:
    for spec in read(manifest):
        if spec.task not in catalogue:
            raise ManifestError(f"{manifest}: job {spec.id} names the task {spec.task!r}, which nobody declares")
        yield spec


def job_line(job: Job) -> JobLine:
    return JobLine(
        id=job.id,
        start_s=job.start_s,
        end_s=job.end_s,
        node=job.node,
        device=",".join(job.devices) or None,
    )
