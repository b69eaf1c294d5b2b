"""One class asked of a decision: it is admitted, or held, and what the gate that said no answered."""

from __future__ import annotations

from builders import (
    a_candidate,
)

from conductor.core.admission.admission import decide
from conductor.model.decision import Admission, Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.snapshot import JobClass, Snapshot

LIMITS = Limits(disk_headroom_bytes={"scratch": 0, "published": 0})


def held(snapshot: Snapshot, job_class: JobClass, limits: Limits = LIMITS) -> Hold:
    decision = decide(snapshot, [a_candidate(job_class)], limits)
    assert decision.admit == ()
    assert len(decision.hold) == 1
    return decision.hold[0]


def admitted(snapshot: Snapshot, job_class: JobClass, limits: Limits = LIMITS) -> Admission:
    decision = decide(snapshot, [a_candidate(job_class)], limits)
    assert [str(v) for hold in decision.hold for v in hold.closed] == []
    return decision.admit[0]


def only(hold: Hold, gate: str) -> Verdict:
    """The one closed verdict, which is this gate's."""
    (verdict,) = hold.closed
    assert verdict.gate == gate
    return verdict
