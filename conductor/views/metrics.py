"""The gate ledger and the counts as Prometheus text (`conductor metrics`). Formats what was recorded,
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conductor.model.decision import GateLedger
from conductor.model.ledger_entries import JobState
from conductor.ports import Ledger

PREFIX = "conductor_"
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

#: (labels, value)
Sample = tuple[dict[str, str], float]


def metrics(ledger: Ledger) -> str:
    """All of it, in the text format 0.0.4. Raises `Unreachable`."""
    gates, now = ledger.gate_record.gates(), ledger.bell.now()
    counts = {name: ledger.tallies.counts(name) for name in ledger.tallies.backlogs()}
    return "\n".join(lines(gates, counts, now, ledger.leadership.leader() is not None)) + "\n"


def lines(
    gates: GateLedger, counts: dict[str, dict[JobState, int]], now: float, has_leader: bool
) -> Iterator[str]:
    jobs = (
        ({"backlog": b, "state": s}, n) for b, states in sorted(counts.items()) for s, n in states.items()
    )
    yield from family("jobs", "gauge", "Jobs by backlog and state.", jobs)
    held = (
        ({"backlog": b, "gate": g}, s) for b, lost in sorted(gates.lost_s.items()) for g, s in lost.items()
    )
    yield from family(
        "held_seconds_total", "counter", "Seconds during which a gate held at least one class.", held
    )
    yield from family(
        "class_held_seconds", "gauge", "Seconds a gate has cost a class that waits.", _of_classes(gates)
    )
    yield from family("class_waiting", "gauge", "Jobs of a class that is held.", _waiting(gates))
    for what in ("limit", "reserved", "others", "free"):
        rows = (
            ({"place": s.where, "gate": s.gate, "unit": s.unit}, float(getattr(s, what)))
            for s in gates.shared
        )
        yield from family(f"shared_{what}", "gauge", WORDS[what], rows)
    yield from family("rate_left", "gauge", "What is left of an API's budget in its window.", _rates(gates))
    shut = (({"key": r.key}, max(0.0, (r.closed_until or 0) - now)) for r in gates.rates)
    yield from family("rate_closed_seconds", "gauge", "A 429 keeps it closed for so long still.", shut)
    ages = (({"node": node}, max(0.0, now - at)) for node, at in sorted(gates.reports.items()))
    yield from family("report_age_seconds", "gauge", "Age of a node's last report.", ages)
    tick = [({}, max(0.0, now - gates.at))] if gates.at else []
    yield from family(
        "record_age_seconds", "gauge", "Age of the record that the gates' figures are of.", tick
    )
    yield from family("has_leader", "gauge", "1 while a conductor leads.", [({}, float(has_leader))])


WORDS = {
    "limit": "Capacity less headroom of a device, a disk, a node's RAM or cores.",
    "reserved": "What admitted and running jobs hold of it.",
    "others": "What is used of it beyond that.",
    "free": "What is left to give.",
}


def _of_classes(gates: GateLedger) -> Iterator[Sample]:
    for hold in gates.holds:
        for gate, seconds in hold.lost_s.items():
            yield {"class": hold.class_id, "task": hold.task, "backlog": hold.backlog, "gate": gate}, seconds


def _waiting(gates: GateLedger) -> Iterator[Sample]:
    for hold in gates.holds:
        never = "true" if hold.is_infeasible else "false"
        yield (
            {"class": hold.class_id, "task": hold.task, "backlog": hold.backlog, "infeasible": never},
            hold.waiting,
        )


def _rates(gates: GateLedger) -> Iterator[Sample]:
    for rate in gates.rates:
        for what, left in (
            ("requests", rate.requests_left),
            ("tokens", rate.tokens_left),
            ("usd", rate.usd_left),
        ):
            if left is not None:
                yield {"key": rate.key, "budget": what}, left


def family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Its two heads and a line a sample; nothing where there is none."""
    rows = [f"{PREFIX}{name}{_labels(labels)} {value:.10g}" for labels, value in samples]
    if rows:
        yield f"# HELP {PREFIX}{name} {words}"
        yield f"# TYPE {PREFIX}{name} {kind}"
        yield from rows


def _labels(labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{_value(value)}"' for key, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _value(text: str) -> str:
    """The format knows three escapes; what else is not shown as itself has no business in a name."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).translate(ESCAPES)
