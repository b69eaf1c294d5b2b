"""Verdicts → words. The gate ledger is the only source: nothing is worked out a second time here."""

from __future__ import annotations

from itertools import groupby

from conductor.model.decision import GATES, Gate, Hold, Verdict
from conductor.text import duration, many, size

#: Job ids are shown by their first letters, as git shows commits.
SHORT_ID = 8
SHOWN_HOLDERS = 3
UNIT_BYTES = {"MiB": 1 << 20, "bytes": 1}


def describe(verdict: Verdict, now: float) -> str:
    """«vram needs 10.0 GiB, node1/gpu0 has 4.0 GiB free (20.0 GiB used by others)», «rate limit, reopens in 12 s»."""
    if verdict.gate == "rate":
        return _rate(verdict, now)
    if verdict.gate == "after":
        return f"waits for {many(round(verdict.need), 'job')}{_holders(verdict)}"
    if verdict.passed:
        return " ".join(part for part in (f"{verdict.gate} open", _at(verdict), _note(verdict)) if part)
    if verdict.gate in ("vram", "ram", "cpu", "scratch") and verdict.unit != "devices":
        return _amount(verdict, now)
    if verdict.gate == "lane":
        return f"lane {verdict.where}: {verdict.message}"
    if verdict.gate == "hold" and verdict.reopens_at is not None:
        return f"hold: {verdict.message}; next try in {duration(max(0.0, verdict.reopens_at - now))} (canary)"
    return f"{verdict.gate}{_at(verdict, ': ')}{', ' if verdict.where else ': '}{verdict.message}"


def explain(hold: Hold, now: float) -> list[str]:
    """One line per gate, the closed ones first, each with all its places; then when it could start."""
    lines = [_summary(hold, now)]
    for gate in sorted(GATES, key=lambda gate: gate not in {v.gate for v in hold.closed}):
        asked = [v for v in hold.verdicts if v.gate == gate]
        closed = [v for v in asked if not v.passed]
        if closed:
            lines += [describe(verdict, now) for verdict in closed]
        elif asked:
            lines.append(f"{gate} open")
    reopens = earliest(hold)
    if reopens is not None:
        lines.append(f"could start in about {duration(max(0.0, reopens - now))}")
    return lines


def earliest(hold: Hold) -> float | None:
    """When every closed gate could be open at once, as far as the gates can say; None where one cannot."""
    times: list[float] = []
    by_gate = groupby(sorted(hold.closed, key=lambda v: v.gate), key=lambda v: v.gate)
    for _, verdicts in by_gate:
        known = [v.reopens_at for v in verdicts if v.reopens_at is not None]
        if not known:
            return None
        times.append(min(known))
    return max(times, default=None)


def leading(hold: Hold) -> Verdict | None:
    """The closed verdict to name if only one can be named: the lane's depth is the last to be worth a word."""
    rank: dict[Gate, int] = {gate: i for i, gate in enumerate(GATES)}
    rank["lane"] = len(GATES)
    return min(hold.closed, key=lambda v: (rank[v.gate], v.is_never, -v.have), default=None)


def _summary(hold: Hold, now: float) -> str:
    if hold.is_infeasible:
        return f"can never run on the nodes that report ({many(hold.waiting, 'job')})"
    since = f" for {duration(now - hold.since)}" if hold.since else ""
    return f"held{since} ({many(hold.waiting, 'job')} waiting)"


def _rate(verdict: Verdict, now: float) -> str:
    if verdict.passed:
        return f"rate open ({verdict.where})" if verdict.where else "rate open"
    if verdict.is_never:
        return (
            f"rate: one call needs {verdict.need:g} {verdict.unit}, {verdict.where} allows {verdict.limit:g} a minute"
        )
    reopens = "" if verdict.reopens_at is None else f", reopens in {duration(max(0.0, verdict.reopens_at - now))}"
    left = f": {verdict.have:g} of {verdict.limit:g} {verdict.unit} a minute left" if verdict.unit else ""
    return f"{verdict.message}{reopens} ({verdict.where}{left})"


def _amount(verdict: Verdict, now: float) -> str:
    need = amount(verdict.need, verdict.unit)
    if verdict.is_never:
        detail = verdict.message.removeprefix("can never: ") if verdict.gate == "scratch" else ""
        return (
            f"{verdict.gate} needs {need}, {verdict.where} can never ({detail or amount(verdict.limit, verdict.unit)})"
        )
    if verdict.limit == 0 and verdict.message:
        return f"{verdict.gate} needs {need}, {verdict.where}: {verdict.message}"
    text = f"{verdict.gate} needs {need}, {verdict.where} has {amount(verdict.have, verdict.unit)} free"
    notes = [note for note in (verdict.message, _holders(verdict).strip()) if note]
    if verdict.reopens_at is not None:
        notes.append(f"until in about {duration(max(0.0, verdict.reopens_at - now))}")
    return f"{text} ({', '.join(notes)})" if notes else text


def amount(value: float, unit: str) -> str:
    """«10.0 GiB», «4 cores», «3 jobs»."""
    factor = UNIT_BYTES.get(unit)
    return size(value * factor) if factor else f"{value:g} {unit}".strip()


def _holders(verdict: Verdict) -> str:
    ids = [holder[:SHORT_ID] for holder in verdict.holders[:SHOWN_HOLDERS]]
    if not ids:
        return ""
    rest = len(verdict.holders) - len(ids)
    word = " " if verdict.gate == "after" else " held by "
    return f"{word}{', '.join(ids)}" + (f" and {rest} more" if rest else "")


def _at(verdict: Verdict, before: str = " ") -> str:
    return f"{before}{verdict.where}" if verdict.where else ""


def _note(verdict: Verdict) -> str:
    return f"({verdict.message})" if verdict.message else ""
