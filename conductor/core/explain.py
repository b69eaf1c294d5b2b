"""Verdicts → words. The gate ledger is the only source: nothing is worked out a second time here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conductor.core.outlook import earliest, is_never
from conductor.model.decision import GATES, Gate, Hold, Verdict
from conductor.text import duration, many, size

#: Job ids are shown by their first letters, as git shows commits.
SHORT_ID = 8
SHOWN_HOLDERS = 3
SHOWN_PLACES = 6
UNIT_BYTES = {"MiB": 1 << 20, "bytes": 1}
AMOUNTS: tuple[Gate, ...] = ("vram", "scratch", "ram", "cpu")

#: A moment in words: «in about 55 s», or, where the edge hands in a clock, «about 14:05».
When = Callable[[float], str]


def describe(verdict: Verdict, now: float, when: When | None = None) -> str:
    """«vram needs 10.0 GiB, node1/gpu0 has 4.0 GiB free (20.0 GiB used by others)», «rate limit, reopens in 12 s»."""
    if verdict.gate == "rate":
        return _rate(verdict, now)
    if verdict.gate == "after":
        return f"waits for {many(round(verdict.need), 'job')}{_holders(verdict)}"
    if verdict.passed:
        return " ".join(part for part in (f"{verdict.gate} open", _at(verdict), _note(verdict)) if part)
    if verdict.gate in AMOUNTS and verdict.unit != "devices":
        return f"{verdict.gate} needs {amount(verdict.need, verdict.unit)}, {_place(verdict, when or _from(now))}"
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
    lines += prospects(hold, now)
    return lines


def sentence(hold: Hold, now: float, waited_s: float, when: When | None = None, who: str = "") -> str:
    """«waiting 14 min 10 s: vram needs 10.0 GiB, gpu0 has 6.1 GiB (held by abc, def until about 14:05), gpu1 can never
    (7.5 GiB); report, hold, scratch open; would start about 14:05»; `who` has the last part, where it is another."""
    when = when or _from(now)
    nodes = {v.where.partition("/")[0] for v in hold.verdicts if "/" in v.where}
    only = f"{next(iter(nodes))}/" if len(nodes) == 1 else ""
    closed = {verdict.gate for verdict in hold.closed}
    parts = [
        _closed(gate, [v for v in hold.closed if v.gate == gate], only, now, when) for gate in GATES if gate in closed
    ]
    asked = {verdict.gate for verdict in hold.verdicts}
    if still_open := [gate for gate in GATES if gate in asked - closed]:
        parts.append(f"{', '.join(still_open)} open")
    start = never_words(hold, now) or f"waiting {duration(waited_s)}"
    then = prospects(hold, now, when)
    if who and then:
        then[0] = f"{who}: {then[0]}"
    return f"{start}: {'; '.join([*parts, *then])}"


def never_words(hold: Hold, now: float) -> str:
    """Empty where waiting may help."""
    if hold.is_infeasible:
        return "can never run on the nodes that report"
    return "can never run while others use so much" if is_never(hold, now) else ""


def never_sentence(hold: Hold, now: float) -> str:
    """«3 jobs of t: vram needs 23.5 GiB, node1/gpu0 has 23.2 GiB free (300 MiB used by others)»."""
    words = dict.fromkeys(describe(v, now) for v in hold.closed if v.is_never or v.is_crowded)
    return f"{many(hold.waiting, 'job')} of {hold.task}: {'; '.join(words)}"


def _closed(gate: Gate, verdicts: Sequence[Verdict], only: str, now: float, when: When) -> str:
    """One gate with all places that say no; `only`: the node that need not be named."""
    amounts = [v for v in verdicts if gate in AMOUNTS and v.unit != "devices"]
    words = [describe(v, now, when) for v in verdicts if v not in amounts]
    if amounts:
        need = f"{gate} needs {amount(amounts[0].need, amounts[0].unit)}"
        words.insert(0, ", ".join([need, *(_place(v, when).removeprefix(only) for v in amounts[:SHOWN_PLACES])]))
    words = list(dict.fromkeys(words))
    rest = max(len(words), len(amounts)) - SHOWN_PLACES
    return ", ".join(words[:SHOWN_PLACES]) + (f" and {many(rest, 'more answer')}" if rest > 0 else "")


def prospects(hold: Hold, now: float, when: When | None = None) -> list[str]:
    """When it could start, and by when it does at the latest: what is kept for it, or will be."""
    when, soonest, words = when or _from(now), earliest(hold), list[str]()
    if hold.is_infeasible:
        return words
    if soonest is not None and (hold.starts_by is None or soonest < hold.starts_by):
        words.append(f"would start {when(soonest)}")
    kept = hold.kept_at or "a place"
    since = "" if hold.kept_at or hold.kept_from is None else f" from {when(hold.kept_from)} on"
    if hold.starts_by is not None:
        words.append(f"starts no later than {when(hold.starts_by)}: {kept} is kept free for it{since}")
    elif hold.kept_at or hold.kept_from is not None:
        words.append(f"{kept} is kept free for it{since}")
    if hold.first_from is not None and not words:
        words.append(f"goes before all others of its backlog from {when(hold.first_from)} on")
    return words


def _from(now: float) -> When:
    return lambda at: f"in about {duration(max(0.0, at - now))}"


def leading(hold: Hold) -> Verdict | None:
    """The closed verdict to name if only one can be named: the lane's depth is the last to be worth a word."""
    return min(hold.closed, key=lambda v: (_RANK[v.gate], v.is_never, -v.have), default=None)


_RANK: dict[Gate, int] = {gate: len(GATES) if gate == "lane" else i for i, gate in enumerate(GATES)}


def _summary(hold: Hold, now: float) -> str:
    if words := never_words(hold, now):
        return f"{words} ({many(hold.waiting, 'job')})"
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


def _place(verdict: Verdict, when: When) -> str:
    """«node1/gpu0 has 6.1 GiB free (held by abc, until about 14:05)», «node1/gpu1 can never (7.5 GiB)»."""
    where = verdict.where
    if verdict.is_never:
        detail = verdict.message.removeprefix("can never: ") if verdict.gate == "scratch" else ""
        return f"{where} can never ({detail or amount(verdict.limit, verdict.unit)})"
    if verdict.limit == 0 and verdict.message:
        return f"{where}: {verdict.message}"
    text = f"{where} has {amount(verdict.have, verdict.unit)} free"
    notes = [note for note in (verdict.message, _holders(verdict).strip()) if note]
    if verdict.reopens_at is not None:
        notes.append(f"until {when(verdict.reopens_at)}")
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
