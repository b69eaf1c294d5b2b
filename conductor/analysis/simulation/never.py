"""What can never run on a simulated cluster, and the sentences that say why and what would do."""

from __future__ import annotations

from collections.abc import Iterable

from conductor.analysis.simulation.workload import SimulatedJob
from conductor.base.text import size
from conductor.core.admission.explain import describe
from conductor.core.chains.feasible_order import largest_job, least_disk
from conductor.model.chains import Chain
from conductor.model.decision import Hold


class NeverRuns:
    """`jobs`: by id; `refused`: a sentence for all that were refused for one reason."""

    def __init__(self) -> None:
        self.jobs: dict[str, SimulatedJob] = {}
        self.refused: list[str] = []

    def refuse_chain(self, chain: Chain, disk: int, jobs: Iterable[SimulatedJob]) -> None:
        what = f"{len(chain.jobs)} jobs that read each other's files"
        why = (
            f"the largest of them needs {size(largest_job(chain))}"
            if largest_job(chain) > disk
            else "no order is known in which they finish"
        )
        self.refused.append(
            f"{what} (from {chain.id[:8]} on): {why} on a scratch of {size(disk)}; {least_disk(chain)} bytes "
            "would do"
        )
        self._refuse(jobs)

    def refuse_class(self, hold: Hold, jobs: Iterable[SimulatedJob], now: float) -> None:
        never = next((v for v in hold.closed if v.is_never), None)
        self.refused.append(
            f"{hold.waiting} of {hold.task}: no node is large enough"
            + (f" ({describe(never, now)})" if never else "")
        )
        self._refuse(jobs)

    def _refuse(self, jobs: Iterable[SimulatedJob]) -> None:
        """They, and all that wait for them, will never run."""
        front = list(jobs)
        while front:
            job = front.pop()
            if job.id not in self.jobs:
                self.jobs[job.id] = job
                front += job.kids
