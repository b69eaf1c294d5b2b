"""Random graphs of jobs that read each other's files on scratch."""

from __future__ import annotations

import random

from conductor.model.identity import identified
from conductor.model.spec import Estimate, JobSpec, Needs, Output


def a_graph(dice: random.Random, graph: int) -> list[JobSpec]:
    made: list[JobSpec] = []
    for i in range(dice.randint(3, 12)):
        before = dice.sample(made, min(len(made), dice.choice((0, 1, 1, 2, 3))))
        made.append(
            identified(
                JobSpec(
                    v=1,
                    id="nameless",
                    workflow="trace",
                    task="trace.job",
                    args={"graph": graph, "n": i},
                    needs=Needs(cpu=1),
                    reads=tuple(spec.writes[0].path for spec in before),
                    writes=(Output(path=f"scratch:{graph}/{i}", bytes=dice.randint(1, 20)),),
                    after=tuple(spec.id for spec in before),
                    estimate=Estimate(duration_s=dice.randint(1, 100)),
                )
            )
        )
    return made
