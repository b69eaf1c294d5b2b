"""A clock for the decision alone: classes with jobs that wait and what runs, each tick by `decide`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from builders import NOW
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.admission.gate_ledger import carried
from conductor.model.decision import Decision, GateLedger
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import BacklogUse, Candidate, Head, JobClass, RateState, Reservation, Snapshot


class WaitingClock:
    """Classes with jobs that wait, and what runs. Jobs take exactly their estimate, or `takes` if that
    says so.
    """

    def __init__(
        self, nodes: tuple[NodeReport, ...], rule: Limits, takes: Callable[[JobClass], float] | None = None
    ):
        self.nodes, self.limits = nodes, rule
        self.takes = takes or (lambda job_class: job_class.duration_s)
        self.now = NOW
        self.waiting: dict[str, tuple[JobClass, list[Head]]] = {}
        self.running: list[tuple[float, Reservation]] = []
        self.put_at: dict[str, float] = {}
        self.started: dict[str, float] = {}
        #: Job → the earliest bound that was ever stated for it; the same, where what runs until then takes up
        #: to `lies` more than it said.
        self.bound: dict[str, float] = {}
        self.lies = 0.0
        self.bound_with_lies: dict[str, float] = {}
        self.gates = GateLedger()
        self.used: dict[str, BacklogUse] = {}
        self.rate: Callable[[float], tuple[RateState, ...]] = lambda now: ()

    def put(self, job_class: JobClass, job_id: str) -> None:
        _, heads = self.waiting.setdefault(job_class.id, (job_class, []))
        self.put_at[job_id] = self.now
        heads.append(Head(job_id=job_id, attempts=0, since=self.now))

    def tick(self) -> Decision:
        self.running = [(ends, r) for ends, r in self.running if ends > self.now]
        candidates = [
            Candidate(job_class=c, waiting=len(heads), heads=tuple(heads[:16]))
            for c, heads in self.waiting.values() if heads
        ]  # fmt: skip
        passed_over = {
            h.head: h.passed_over_since for h in self.gates.holds if h.passed_over_since is not None
        }
        snapshot = Snapshot(
            now=self.now,
            nodes=tuple(structs.replace(n, sent_at=self.now) for n in self.nodes),
            reservations=tuple(r for _, r in self.running),
            passed_over=passed_over,
            used=self.used,
            rates=self.rate(self.now),
        )
        decision = decide(snapshot, candidates, self.limits)
        self.used = decision.used
        self.gates = GateLedger(at=self.now, holds=carried(decision.hold, self.gates, self.now))
        for admission in decision.admit:
            r = structs.replace(admission.reservation, state="running", started_at=self.now)
            job_class, heads = self.waiting[r.class_id]
            heads[:] = [head for head in heads if head.job_id != r.job_id]
            self.started[r.job_id] = self.now
            self.running.append((self.now + self.takes(job_class), r))
        for hold in decision.hold:
            if hold.starts_by is not None:
                self.bound[hold.head] = min(hold.starts_by, self.bound.get(hold.head, float("inf")))
                # What runs already may take half more of its whole, and not of the rest of it.
                longest_s = max(c.duration_s for c, _ in self.waiting.values())
                late = hold.starts_by + self.lies * (hold.starts_by - self.now + longest_s)
                self.bound_with_lies[hold.head] = min(late, self.bound_with_lies.get(hold.head, float("inf")))
        return decision

    def run(
        self, arrivals: Callable[[int], Iterator[tuple[JobClass, str]]], ticks: int, step_s: float = 5.0
    ) -> None:
        for number in range(ticks):
            for job_class, job_id in arrivals(number):
                self.put(job_class, job_id)
            self.tick()
            self.now += step_s

    def waited(self, job_id: str) -> float:
        assert job_id in self.started, f"{job_id} never started"
        return self.started[job_id] - self.put_at[job_id]


class Heritage(WaitingClock):
    """Whatever ends, ends a moment before the tick, and its successor has its place before anybody looks."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.named: Decision | None = None
        self.handed_on = 0

    def tick(self) -> Decision:
        over = sorted((ends, r.job_id) for ends, r in self.running if ends <= self.now)
        self.running = [(ends, r) for ends, r in self.running if ends > self.now]
        successors = (
            {successor.predecessor: successor for successor in self.named.successors}
            if self.named is not None
            else {}
        )
        for ends, job_id in over:
            successor = successors.pop(job_id, None)
            if successor is not None and self._waits(successor.admission.reservation):
                self._start(successor.admission.reservation, ends)
                successors.clear()
        self.named = super().tick()
        return self.named

    def _waits(self, r: Reservation) -> bool:
        return any(head.job_id == r.job_id for head in self.waiting[r.class_id][1])

    def _start(self, r: Reservation, at: float) -> None:
        job_class, heads = self.waiting[r.class_id]
        heads[:] = [head for head in heads if head.job_id != r.job_id]
        self.started[r.job_id] = at
        running = structs.replace(r, state="running", started_at=at)
        self.running.append((max(at, self.now) + self.takes(job_class), running))
        self.handed_on += 1
