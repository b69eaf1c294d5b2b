"""Workers of a simulated node, and the jobs that wait for them by class."""

from __future__ import annotations

from collections import deque
from itertools import islice

from conductor.analysis.simulation.workload import SimulatedJob
from conductor.core.placement.fragmentation import JobShape
from conductor.model.snapshot import Candidate, Head, JobClass

#: As the live tick looks at them.
HEADS = 16


class SimulatedWorkers:
    """The workers of one queue, and what was handed over to it and waits for one of them."""

    __slots__ = ("busy", "handed", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.busy = 0
        self.handed: deque[SimulatedJob] = deque()


class SimulatedQueue:
    """The waiting jobs of one class, the oldest first, and its candidate while nothing of it changes."""

    __slots__ = ("candidate", "job_class", "jobs", "kind")

    def __init__(self, job_class: JobClass, kind: JobShape) -> None:
        self.job_class = job_class
        self.kind = kind
        self.jobs: deque[SimulatedJob] = deque()
        self.candidate: Candidate | None = None

    def as_candidate(self) -> Candidate:
        if self.candidate is None:
            heads = tuple(Head(job_id=j.id, attempts=0, since=j.since) for j in islice(self.jobs, HEADS))
            self.candidate = Candidate(job_class=self.job_class, waiting=len(self.jobs), heads=heads)
        return self.candidate
