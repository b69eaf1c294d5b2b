"""One look at everything that alert rules go by: some fifteen round trips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.core.admission.explain import jobs_named
from conductor.core.alerts.observations import Observations
from conductor.model.decision import GateLedger, Hold
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.subject import subject_of_line
from conductor.node.alerts.event_tail import EventTail
from conductor.node.alerts.receipt_tail import ReceiptTail
from conductor.ports import Ledger

#: A node that has not been seen for so long is forgotten.
FORGET_S = 7 * 86_400.0
#: Of so many held classes it is asked how long their first jobs wait.
MOST_HEADS = 20


def observe(
    ledger: Ledger, known: Mapping[str, float], receipts: ReceiptTail, events: EventTail
) -> Observations:
    """`known`: node → when its last report was sent, as of the look before. Raises `Unreachable`."""
    now = ledger.bell.now()
    receipts.look(now)
    events.look(ledger)
    # In this order: a lead that is given back in between is not taken for one that was lost.
    leader = ledger.leadership.leader()
    nodes = ledger.reports.live()
    gates, (kinds, in_review) = ledger.gate_record.gates(), ledger.kinds.states()
    active, largest = ledger.handover.reservations(), largest_of(gates)
    return Observations(
        now=now,
        leader=leader[0] if leader else None,
        heard_at=ledger.leadership.heard_at(),
        resigned_at=ledger.leadership.resigned_at(),
        counts=ledger.tallies.counts(),
        nodes=nodes,
        seen=seen_of(known, nodes, ledger.reports.left(), now),
        gates=gates,
        active=active,
        heads=heads_of(ledger, largest),
        subjects=subjects_of(ledger, active, largest),
        controls=ledger.control.controls(),
        kinds=kinds,
        in_review=in_review,
        failed=receipts.failed(now),
        fallbacks=receipts.fallbacks(now),
        engines=receipts.engines(now),
        receipt_faults=(*receipts.faults(now), *events.receipt_faults(now)),
        skipped=events.skipped(now),
        schedulers=tuple(ledger.pilots.states().engines.values()),
    )


def seen_of(
    known: Mapping[str, float], nodes: tuple[NodeReport, ...], left: Mapping[str, float], now: float
) -> dict[str, float]:
    """Those that report now, and those of before that are neither gone by themselves nor for very long."""
    live = {report.node: report.sent_at for report in nodes}
    before = {node: at for node, at in known.items() if left.get(node, 0.0) < at and at > now - FORGET_S}
    return before | live


def largest_of(gates: GateLedger) -> list[Hold]:
    """Of the classes that are held."""
    return sorted(gates.holds, key=lambda hold: -hold.waiting)[:MOST_HEADS]


def subjects_of(ledger: Ledger, active: Iterable[Reservation], largest: Iterable[Hold]) -> dict[str, str]:
    """What jobs are about that words may name: of each task the one that runs longest, and those of which
    the answers of the gates speak."""
    latest_first = sorted(active, key=lambda r: -(r.started_at or r.admitted_at))
    longest = {r.task: r.job_id for r in latest_first}.values()
    ids = {*longest, *(job_id for hold in largest for job_id in (hold.head, *jobs_named(hold)))} - {""}
    lines = ledger.jobs.lines(sorted(ids)) if ids else {}
    return {job_id: subject_of_line(line, "") for job_id, line in lines.items()}


def heads_of(ledger: Ledger, largest: Iterable[Hold]) -> dict[str, float]:
    """First job of each → since when it waits."""
    views = (ledger.jobs.job(hold.head) for hold in largest if hold.head)
    return {view.job_id: view.since for view in views if view is not None and view.state == "waiting"}
