"""Verdicts → words. The gate ledger is the only source: nothing is worked out a second time here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import structs

from conductor.core.outlook import earliest, is_never, is_refused
from conductor.model.decision import GATES, Gate, Hold, Verdict
from conductor.text import duration, many, size

#: Job ids are shown by their first letters, as git shows commits.
SHORT_ID = 8
SHOWN_HOLDERS = 3
SHOWN_PLACES = 6
UNIT_BYTES = {"MiB": 1 << 20, "bytes": 1}
#: How the answer of a breaker begins.
BREAKER = "breaker open"
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
        return f"{verdict.gate} needs {amount(verdict.need, verdict.unit)}, {_place(verdict, now, when)}"
    if verdict.gate == "counter":
        return _counter(verdict, now, when)
    if verdict.gate == "lane":
        ends = "" if verdict.reopens_at is None else f", the last {_until(verdict.reopens_at, now, when)}"
        first = ", ".join(holder[:SHORT_ID] for holder in verdict.holders)
        return f"lane {verdict.where}: {verdict.message}" + (f" ({first}{ends})" if first else "")
    if verdict.gate == "hold" and verdict.reopens_at is not None:
        return (
            f"hold{_at(verdict, ': ')}{', ' if verdict.where else ': '}{verdict.message}; {_opens(verdict, now, when)}"
        )
    return f"{verdict.gate}{_at(verdict, ': ')}{', ' if verdict.where else ': '}{verdict.message}"


def explain(hold: Hold, now: float) -> list[str]:
    """One line per gate, the closed ones first, each with all its places; then when it could start."""
    lines = [_summary(hold, now), *before(hold)]
    for gate in sorted(GATES, key=lambda gate: gate not in {v.gate for v in hold.closed}):
        asked = [v for v in hold.verdicts if v.gate == gate]
        closed = _one_a_place([v for v in asked if not v.passed])
        if closed:
            lines += [describe(verdict, now) for verdict in closed]
        elif asked:
            lines.append(f"{gate} open")
    lines += prospects(hold, now)
    return lines


def sentence(hold: Hold, now: float, waited_s: float, when: When | None = None, who: str = "") -> str:
    """«waiting 14 min 10 s: 3 jobs of higher priority go before it (the first is xyz); vram needs 10.0 GiB, gpu0 has
    6.1 GiB (held by abc, def until about 14:05), gpu1 can never (7.5 GiB); report, hold, scratch open; there is room
    about 14:05 at the earliest, for those before it first»; `who` has the last part, where it is another."""
    nodes = {v.where.partition("/")[0] for v in hold.verdicts if "/" in v.where}
    only = f"{next(iter(nodes))}/" if len(nodes) == 1 else ""
    closed = {verdict.gate for verdict in hold.closed}
    no: dict[Gate, list[Verdict]] = {gate: [v for v in hold.closed if v.gate == gate] for gate in GATES}
    parts = [*before(hold), *(_closed(gate, verdicts, only, now, when) for gate, verdicts in no.items() if verdicts)]
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
    if is_refused(hold):
        return "waits for somebody to act"
    return "can never run while others use so much" if is_never(hold, now) else ""


def never_sentence(hold: Hold, now: float) -> str:
    """«3 jobs of t: vram needs 23.5 GiB, node1/gpu0 has 23.2 GiB free (300 MiB used by others)»."""
    final = [v for v in hold.closed if v.is_never or v.is_crowded] or hold.closed
    words = dict.fromkeys(describe(v, now) for v in final)
    return f"{many(hold.waiting, 'job')} of {hold.task}: {'; '.join(words)}"


def before(hold: Hold) -> list[str]:
    """«3 jobs of higher priority go before it (the first is xyz)»; nothing where it is the next one."""
    front = hold.front
    if front is None:
        return []
    of_them = " of higher priority" if front.higher == front.jobs else ""
    some = f", {front.higher} of them of higher priority" if 0 < front.higher < front.jobs else ""
    go = "goes" if front.jobs == 1 else "go"
    first = front.job_id[:SHORT_ID] if front.jobs == 1 else f"the first is {front.job_id[:SHORT_ID]}"
    return [f"{many(front.jobs, 'job')}{of_them} {go} before it{some} ({first})"]


def _closed(gate: Gate, verdicts: Sequence[Verdict], only: str, now: float, when: When | None) -> str:
    """One gate with all places that say no; `only`: the node that need not be named."""
    verdicts = _one_a_place(verdicts)
    amounts = [v for v in verdicts if gate in AMOUNTS and v.unit != "devices"]
    words = [describe(v, now, when) for v in verdicts if v not in amounts]
    if amounts:
        need = f"{gate} needs {amount(amounts[0].need, amounts[0].unit)}"
        words.insert(0, ", ".join([need, *(_place(v, now, when).removeprefix(only) for v in amounts[:SHOWN_PLACES])]))
    words = list(dict.fromkeys(words))
    rest = max(len(words), len(amounts)) - SHOWN_PLACES
    return ", ".join(words[:SHOWN_PLACES]) + (f" and {many(rest, 'more answer')}" if rest > 0 else "")


def prospects(hold: Hold, now: float, when: When | None = None) -> list[str]:
    """When it could start, and by when it does at the latest: what is kept for it, or will be."""
    soonest, words = earliest(hold), list[str]()
    if hold.is_infeasible or is_refused(hold):
        return words
    if soonest is not None and (hold.starts_by is None or soonest < hold.starts_by):
        words.append(_soonest(hold, soonest, now, when))
    when = when or _from(now)
    kept = hold.kept_at or "a place"
    since = "" if hold.kept_at or hold.kept_from is None else f" from {when(hold.kept_from)} on"
    if hold.starts_by is not None:
        words.append(f"starts no later than {when(hold.starts_by)}: {kept} is kept free for it{since}")
    elif hold.kept_at or hold.kept_from is not None:
        words.append(f"{kept} is kept free for it{since}")
    if hold.first_from is not None and not words:
        words.append(f"goes before all others of its backlog from {when(hold.first_from)} on")
    return words


def _soonest(hold: Hold, at: float, now: float, when: When | None) -> str:
    """No promise that others may take, nor one that time has passed by."""
    if at <= now:
        return "there is room any moment: what it waits for has run longer than its estimate"
    moment = (when or _from(now))(at)
    if hold.front is not None:
        return f"there is room {moment} at the earliest, for those before it first"
    is_queued = any(v.gate == "lane" for v in hold.closed)
    return f"would {'be handed over' if is_queued else 'start'} {moment}"


def _until(at: float, now: float, when: When | None) -> str:
    if at <= now:
        return "any moment: over its estimate"
    return f"for about {duration(at - now)} more" if when is None else f"until {when(at)}"


def _opens(verdict: Verdict, now: float, when: When | None) -> str:
    """Of a hold that ends by itself: a kept place, hours, the next try of a kind that failed."""
    at = verdict.reopens_at or 0.0
    if verdict.message.startswith(BREAKER):
        return f"next try in {duration(max(0.0, at - now))}"
    return _until(at, now, when)


def _one_a_place(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A disk may say no twice: there is no room, and with it what was begun could not be finished. One answer."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        key = (verdict.where, verdict.unit if verdict.gate in AMOUNTS else verdict.message)
        known = found.get(key)
        if known is None:
            found[key] = verdict
        elif verdict.message and verdict.message not in known.message:
            # What lacks room is the first one's number; that it fits is not true there.
            more = verdict.message.removeprefix("it fits, but then ")
            also = f"and with room {more}" if more != verdict.message else more
            found[key] = structs.replace(known, message=", ".join(part for part in (known.message, also) if part))
    return list(found.values())


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
    again = reopens.replace("reopens", "asked again") if verdict.is_refused else reopens
    return f"{verdict.message}{again} ({verdict.where}{left})"


def _counter(verdict: Verdict, now: float, when: When | None) -> str:
    """«waits for nuke: 3 of 3 held by a1b2c3d4 until about 14:05, 2 outside Conductor»."""
    some = f"{verdict.need:g} of {verdict.where}" if verdict.need > 1 else verdict.where
    if verdict.message:
        return f"waits for {some}: {verdict.message}"
    if verdict.is_never:
        return f"needs {some}, its limit is {verdict.limit:g}"
    ends = "" if verdict.reopens_at is None else f" {_until(verdict.reopens_at, now, when)}"
    others = f", {verdict.others:g} outside Conductor" if verdict.others else ""
    held = f"{verdict.limit - verdict.have:g} of {verdict.limit:g} held{_holders(verdict).removeprefix(' held')}"
    return f"waits for {some}: {held}{ends}{others}"


def _place(verdict: Verdict, now: float, when: When | None) -> str:
    """«node1/gpu0 has 6.1 GiB free (held by abc, until about 14:05)», «node1/gpu1 can never (7.5 GiB)»."""
    where = verdict.where
    if verdict.is_never:
        detail = verdict.message.removeprefix("can never: ")
        # Of a device only where its size is, or could be, what conductor.toml says.
        is_telling = verdict.gate == "scratch" or (verdict.gate == "vram" and "vram_mib" in detail)
        return f"{where} can never ({detail if is_telling and detail else amount(verdict.limit, verdict.unit)})"
    if verdict.limit == 0 and verdict.message:
        return f"{where}: {verdict.message}"
    text = f"{where} has {amount(verdict.have, verdict.unit)} free"
    notes = [note for note in (verdict.message, _holders(verdict).strip()) if note]
    if verdict.reopens_at is not None:
        notes.append(_until(verdict.reopens_at, now, when))
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
