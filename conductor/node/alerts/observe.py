"""One look at everything that alert rules go by: some fifteen round trips."""

from __future__ import annotations

from collections.abc import Mapping

from conductor.core.alerts.observations import Observations
from conductor.model.decision import GateLedger
from conductor.model.report import NodeReport
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
    return Observations(
        now=now,
        leader=leader[0] if leader else None,
        heard_at=ledger.leadership.heard_at(),
        resigned_at=ledger.leadership.resigned_at(),
        counts=ledger.tallies.counts(),
        nodes=nodes,
        seen=seen_of(known, nodes, ledger.reports.left(), now),
        gates=gates,
        active=ledger.handover.reservations(),
        heads=heads_of(ledger, gates),
        controls=ledger.control.controls(),
        kinds=kinds,
        in_review=in_review,
        failed=receipts.failed(now),
        fallbacks=receipts.fallbacks(now),
        engines=receipts.engines(now),
        receipt_faults=(*receipts.faults(now), *events.receipt_faults(now)),
        skipped=events.skipped(now),
    )


def seen_of(
    known: Mapping[str, float], nodes: tuple[NodeReport, ...], left: Mapping[str, float], now: float
) -> dict[str, float]:
    """Those that report now, and those of before that are neither gone by themselves nor for very long."""
    live = {report.node: report.sent_at for report in nodes}
    before = {node: at for node, at in known.items() if left.get(node, 0.0) < at and at > now - FORGET_S}
    return before | live


def heads_of(ledger: Ledger, gates: GateLedger) -> dict[str, float]:
    """Of the largest classes that are held: first job → since when it waits."""
    largest = sorted(gates.holds, key=lambda hold: -hold.waiting)[:MOST_HEADS]
    views = (ledger.jobs.job(hold.head) for hold in largest if hold.head)
    return {view.job_id: view.since for view in views if view is not None and view.state == "waiting"}
