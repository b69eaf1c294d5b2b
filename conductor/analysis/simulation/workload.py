"""A manifest → what is to be simulated: jobs with arrivals, their classes, and the chains that share
files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from conductor.analysis.simulation.cluster import SCRATCH
from conductor.core.chains.chains import connected
from conductor.core.ordering.priority_inheritance import inherit_priorities
from conductor.model.chains import Chain, FileJob
from conductor.model.job_class import Classifier, JobClass
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, TaskDecl, resolve

BACKLOG = "simulated"
#: Jobs of one moment keep the order of the manifest by arriving so much apart.
APART_S = 1e-6
#: Shared by the jobs that write nothing: there may be a million of them.
NOTHING: Mapping[str, int] = {}


class SimulatedJob:
    """One job in the simulation. Times in seconds since the first arrival."""

    __slots__ = (
        "arrival_s", "devices", "duration_s", "end_s", "id", "job_class", "kids", "node", "reads", "ready_s",
        "reservation", "seq", "start_s", "waits", "writes",
    )  # fmt: skip

    def __init__(
        self, job_id: str, seq: int, arrival_s: float, duration_s: float, job_class: JobClass
    ) -> None:
        self.id = job_id
        self.seq = seq
        self.arrival_s = arrival_s
        self.duration_s = duration_s
        self.job_class = job_class
        self.ready_s = arrival_s
        self.start_s: float | None = None
        self.end_s: float | None = None
        #: What it holds while it runs; where it ran.
        self.reservation: Reservation | None = None
        self.node: str | None = None
        self.devices: tuple[str, ...] = ()
        #: How many it waits for, and who waits for it.
        self.waits = 0
        self.kids: list[SimulatedJob] | tuple[()] = ()
        #: Files on scratch that others read, by path.
        self.writes: Mapping[str, int] = NOTHING
        self.reads: tuple[str, ...] = ()

    def goes_before(self, kid: SimulatedJob) -> None:
        if isinstance(self.kids, list):
            self.kids.append(kid)
        else:
            self.kids = [kid]
        kid.waits += 1

    @property
    def since(self) -> float:
        return self.arrival_s + self.seq * APART_S


class Workload:
    """All jobs of a manifest, and the chains among them."""

    def __init__(self, specs: Iterable[JobSpec], catalogue: Mapping[str, TaskDecl], is_batch: bool) -> None:
        self.jobs: list[SimulatedJob] = []
        self._by_id: dict[str, SimulatedJob] = {}
        self._classify = Classifier(catalogue, BACKLOG)
        self._catalogue = catalogue
        waits: list[tuple[SimulatedJob, tuple[str, ...]]] = []
        for seq, spec in enumerate(specs):
            job = self._job(spec, seq, is_batch)
            self.jobs.append(job)
            self._by_id[job.id] = job
            if spec.after or spec.after_ended or spec.reads:
                waits.append((job, (*spec.after, *spec.after_ended)))
                job.reads = tuple(
                    path for path in dict.fromkeys(spec.reads) if path.startswith(f"{SCRATCH}:")
                )
            if spec.writes:
                job.writes = {o.path: o.bytes for o in spec.writes if o.path.startswith(f"{SCRATCH}:")}
        for job, others in waits:
            self._wait_for(job, others)
        self._hand_down({job.id: others for job, others in waits if others})
        self.chains = chains_of(self.jobs) if waits else []

    def _job(self, spec: JobSpec, seq: int, is_batch: bool) -> SimulatedJob:
        arrival = 0.0 if is_batch else float(spec.args.get("arrival_s", 0.0))
        estimate = resolve(spec, self._catalogue[spec.task]).estimate
        return SimulatedJob(spec.id, seq, arrival, estimate.duration_s, self._classify(spec))

    def _hand_down(self, waits: Mapping[str, Sequence[str]]) -> None:
        """Priorities, as a dispatch does."""
        priorities = {job.id: job.job_class.priority for job in self.jobs if job.job_class.priority}
        inherited = inherit_priorities(priorities, waits) if priorities and waits else {}
        for job_id, priority in inherited.items():
            if (job := self._by_id.get(job_id)) is not None:
                plain = job.job_class
                job.job_class = msgspec.structs.replace(plain, id=f"{plain.id}^{priority}", priority=priority)

    def _wait_for(self, job: SimulatedJob, others: Sequence[str]) -> None:
        for other in dict.fromkeys(others):
            if (before := self._by_id.get(other)) is not None:
                before.goes_before(job)


def chains_of(jobs: Sequence[SimulatedJob], declared_s: Mapping[str, float] | None = None) -> list[Chain]:
    """Jobs that read each other's files on scratch, and no others: who is in a chain goes before who is in
    none, as after a dispatch (`conductor.dispatch.file_chains`). What is going already keeps its node.

    `declared_s`: job → what its line says that it takes, where other durations are played: what lies behind a
    job is worked out once, of the lines.
    """
    made = {path for job in jobs for path in job.writes}
    read = {path for job in jobs for path in job.reads}
    members = [job for job in jobs if not made.isdisjoint(job.reads) or not read.isdisjoint(job.writes)]
    after: dict[str, list[str]] = {}
    for job in members:
        for kid in job.kids:
            after.setdefault(kid.id, []).append(job.id)
    tail = tails(members, declared_s)
    parts = [
        FileJob(
            job_id=job.id,
            is_going=job.reservation is not None,
            writes=dict(job.writes),
            reads=tuple(path for path in job.reads if path in made),
            after=tuple(after.get(job.id, ())),
            tail_s=tail[job.id],
        )
        for job in members
    ]
    node_of = {job.id: job.reservation.node for job in jobs if job.reservation is not None}
    return [
        msgspec.structs.replace(
            chain, node=next((node_of[j.job_id] for j in chain.jobs if j.job_id in node_of), None)
        )
        for chain in connected(parts, SCRATCH)
        if any(job.reads for job in chain.jobs)
    ]


def tails(jobs: Sequence[SimulatedJob], declared_s: Mapping[str, float] | None = None) -> dict[str, float]:
    """Job → seconds from its start to the end of the longest path behind it through these jobs."""
    lasts = {job.id: job.duration_s for job in jobs} if declared_s is None else declared_s
    if not any(job.kids for job in jobs):
        return {job.id: lasts[job.id] for job in jobs}
    waits = dict.fromkeys((job.id for job in jobs), 0)
    for job in jobs:
        for kid in job.kids:
            if kid.id in waits:
                waits[kid.id] += 1
    order = [job for job in jobs if not waits[job.id]]
    for job in order:  # grows while it is walked
        for kid in job.kids:
            if kid.id in waits:
                waits[kid.id] -= 1
                if not waits[kid.id]:
                    order.append(kid)
    tail: dict[str, float] = {}
    for job in reversed(order):
        tail[job.id] = lasts[job.id] + max((tail[kid.id] for kid in job.kids if kid.id in tail), default=0.0)
    return {job.id: tail.get(job.id, lasts[job.id]) for job in jobs}
