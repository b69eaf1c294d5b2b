"""Observations: all that the alert rules may look at, at one instant."""

from __future__ import annotations

from conductor.core.admission.earliest_start import is_never
from conductor.model.decision import GateLedger, Hold
from conductor.model.ledger_entries import JobState
from conductor.model.pilot import EngineState
from conductor.model.report import NodeReport
from conductor.model.snapshot import Controls, KindState, Reservation
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID


class Observations(Value, frozen=True, kw_only=True):
    """`now` is the ledger's clock, epoch seconds; where Redis does not answer, this host's."""

    now: float
    #: Since when Redis has not answered this host, and its words. Then nothing else is known. None: it does.
    redis_lost_since: float | None = None
    redis_fault: str = ""
    leader: str | None = None
    #: When a leader was heard last, and when one gave the lead back last; None: never.
    heard_at: float | None = None
    resigned_at: float | None = None
    counts: dict[JobState, int] = {}
    nodes: tuple[NodeReport, ...] = ()
    #: Node → when its last report was sent, of all that were seen and did not leave by themselves.
    seen: dict[str, float] = {}
    gates: GateLedger = GateLedger()
    #: Admitted and running attempts.
    active: tuple[Reservation, ...] = ()
    #: First job of a held class → since when it waits.
    heads: dict[str, float] = {}
    #: What pilots come from, as the leader knows it.
    schedulers: tuple[EngineState, ...] = ()
    #: Job → what it is about, of those that the words of a finding may name.
    subjects: dict[str, str] = {}
    controls: Controls = Controls()
    kinds: tuple[KindState, ...] = ()
    #: Backlog → jobs in review.
    in_review: dict[str, int] = {}
    #: Cause → attempts that failed by it within the last hour, and cost a try.
    failed: dict[str, int] = {}
    #: Task → attempts of the last hour that ran on another engine than was meant.
    fallbacks: dict[str, int] = {}
    #: Task → its jobs of the last hour that could choose an engine: those that were made by a less preferred
    #: one, and all.
    engines: dict[str, tuple[int, int]] = {}
    #: What was wrong with receipts within the last hour, in words.
    receipt_faults: tuple[str, ...] = ()
    #: Schedule → times within the last hour that it did not run.
    skipped: dict[str, int] = {}

    def total(self, *states: JobState) -> int:
        return sum(self.counts.get(state, 0) for state in states)

    @property
    def left(self) -> int:
        """Jobs that are still to be done."""
        return self.total("waiting", "admitted", "running")

    def called(self, job_id: str, task: str) -> str:
        """«media.cut · clip7.mp4 (k3v7abcd)»."""
        return f"{self.subjects.get(job_id) or task} ({job_id[:SHORT_ID]})"

    @property
    def silent(self) -> dict[str, float]:
        """Node → when its last report was sent, of those that report no more and have not left."""
        live = {node.node for node in self.nodes}
        return {node: at for node, at in sorted(self.seen.items()) if node not in live}

    @property
    def has_resigned(self) -> bool:
        """The last leader gave the lead back, or there was none yet."""
        if self.heard_at is None:
            return True
        return self.resigned_at is not None and self.resigned_at >= self.heard_at

    def never(self) -> tuple[Hold, ...]:
        """Classes that can never run here."""
        return tuple(hold for hold in self.gates.holds if is_never(hold, self.gates.at))
