"""What single nodes do not take, however much of them is free. Pure.

- A node that ends at a known time (a pilot) takes nothing that would not be over by then. A job of which
  nobody knows how long it takes is taken; where it is not over in time, it goes back to the backlog.
- An engine that gives each job a host of its own takes none that one such host could not hold, none like
  those that it refused a moment ago, and so many at once, whichever lanes they are of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from conductor.core.capacity.cluster import NodeFree
from conductor.model.decision import Verdict
from conductor.model.reason import QUEUE_FULL, Detail, Reason
from conductor.model.report import SingleJobs
from conductor.model.snapshot import JobClass, Reservation, Snapshot


class NodeBounds:
    """For one tick."""

    def __init__(self, nodes: Iterable[NodeFree], snapshot: Snapshot) -> None:
        self._left_s: dict[str, float] = {}
        self._single_jobs: dict[str, SingleJobs] = {}
        for node in nodes:
            report = node.report
            if report.ends_at is not None:
                self._left_s[node.name] = max(0.0, report.ends_at - snapshot.now)
            if report.single_jobs is not None:
                self._single_jobs[node.name] = report.single_jobs
        held = snapshot.reservations if self._single_jobs else ()
        #: Jobs that wait or run there.
        self._jobs = Counter(r.node for r in held if r.node in self._single_jobs)

    def __bool__(self) -> bool:
        return bool(self._left_s or self._single_jobs)

    def key(self, job_class: JobClass) -> Hashable:
        """Classes that agree in it get the same answers."""
        needs, refusals = (
            job_class.needs,
            (one.refused.get(job_class.id) for one in self._single_jobs.values()),
        )
        return (
            *(job_class.duration_s, needs.cpu, needs.ram_mib, needs.vram_mib, needs.devices),
            *(refused and refused.words for refused in refusals),
        )

    def denies(self, node: str, job_class: JobClass) -> Verdict | None:
        return next(self._against(node, job_class), None)

    def closings(self, job_class: JobClass) -> list[Verdict]:
        """Of all nodes that do not take it."""
        nodes = dict.fromkeys((*self._left_s, *self._single_jobs))
        return [verdict for node in nodes for verdict in self._against(node, job_class)]

    def took(self, reservation: Reservation) -> None:
        if reservation.node in self._single_jobs:
            self._jobs[reservation.node] += 1

    def _against(self, node: str, job_class: JobClass) -> Iterator[Verdict]:
        left_s = self._left_s.get(node)
        if left_s is not None and left_s <= job_class.duration_s:
            yield Verdict(gate="hold", passed=False, reason=Reason.NODE_ENDS, where=node,
                          need=job_class.duration_s, have=left_s, unit="s")  # fmt: skip
        if (one := self._single_jobs.get(node)) is not None:
            yield from _beyond(node, one, job_class)
            if (refused := one.refused.get(job_class.id)) is not None:
                yield Verdict(gate="hold", passed=False, reason=Reason.ENGINE_REFUSES, where=node,
                              reopens_at=refused.until, detail=Detail(words=refused.words))  # fmt: skip
            if (jobs := self._jobs[node]) >= one.most:
                yield Verdict(gate="lane", passed=False, reason=QUEUE_FULL, where=node, need=1,
                              limit=one.most, unit="jobs", detail=Detail(queued=jobs))  # fmt: skip


def _beyond(node: str, one: SingleJobs, job_class: JobClass) -> Iterator[Verdict]:
    needs = job_class.needs
    asked = (
        (needs.cpu, one.cpus, "cores"),
        (needs.ram_mib, one.ram_mib, "MiB of memory"),
        (needs.devices if needs.vram_mib else 0, one.devices, "GPUs"),
        (needs.vram_mib, one.vram_mib, "MiB of VRAM"),
        (job_class.duration_s, one.time_s, "s"),
    )
    for need, limit, unit in asked:
        if need > limit:
            yield Verdict(gate="hold", passed=False, reason=Reason.BEYOND_ONE_JOB, where=node, need=need,
                          limit=limit, unit=unit)  # fmt: skip
