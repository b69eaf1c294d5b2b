"""Verdicts → words. The gate ledger is the only source: nothing is worked out a second time here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from conductor.base.text import duration, many
from conductor.core.admission.earliest_start import earliest, is_never, is_refused
from conductor.core.admission.sentences import SHOWN_HOLDERS, UNFINISHED, amount, words_of
from conductor.model.decision import GATES, Gate, Hold, Verdict
from conductor.model.reason import Reason
from conductor.model.spec import ResourceName
from conductor.model.subject import SHORT_ID

SHOWN_PLACES = 6
#: Nobody knows when these open: that moment is only the next question.
AWAY = (Reason.ENDPOINT_UNAVAILABLE, Reason.ENDPOINT_REFUSES)
AMOUNTS: tuple[Gate, ...] = ("vram", "scratch", *get_args(ResourceName))

#: A moment in words: «in about 55 s», or, where the edge hands in a clock, «about 14:05».
When = Callable[[float], str]


def describe(verdict: Verdict, now: float, when: When | None = None) -> str:
    """«vram needs 10.0 GiB, node1/gpu0 has 4.0 GiB free (20.0 GiB used by others)», «rate limit, reopens
    in 12 s».
    """
    if verdict.gate == "rate":
        return _rate(verdict, now)
    if verdict.gate == "after":
        return f"{words_of(verdict)}{_holders(verdict)}"
    if verdict.passed:
        return " ".join(part for part in (f"{verdict.gate} open", _at(verdict), _note(verdict)) if part)
    if _is_amount(verdict):
        return _described(verdict, now=now, when=when)
    if verdict.gate == "counter":
        return _counter(verdict, now, when)
    if verdict.gate == "lane":
        ends = "" if verdict.reopens_at is None else f", the last {_until(verdict.reopens_at, now, when)}"
        first = ", ".join(holder[:SHORT_ID] for holder in verdict.holders)
        return f"lane {verdict.where}: {words_of(verdict)}" + (f" ({first}{ends})" if first else "")
    opens = ""
    if verdict.gate == "hold" and verdict.reopens_at is not None:
        opens = f"; {_opens(verdict, verdict.reopens_at, now, when)}"
    return f"{verdict.gate}{_at(verdict, ': ')}{', ' if verdict.where else ': '}{words_of(verdict)}{opens}"


def _is_amount(verdict: Verdict) -> bool:
    """Of devices that are asked together it is a number of them, and no amount."""
    return verdict.gate in AMOUNTS and verdict.unit != "devices"


def explain(hold: Hold, now: float) -> list[str]:
    """One line per gate, the closed ones first, each with all its places; then when it could start."""
    lines = [_summary(hold, now), *before(hold)]
    for gate in sorted(GATES, key=lambda gate: gate not in {v.gate for v in hold.closed}):
        asked = [v for v in hold.verdicts if v.gate == gate]
        closed = _one_a_place([v for v in asked if not v.passed])
        if closed:
            lines += [_answered(answer, now) for answer in closed]
        elif asked:
            lines.append(f"{gate} open")
    lines += prospects(hold, now)
    return lines


def jobs_named(hold: Hold) -> tuple[str, ...]:
    """Whom the words about it name, by the first letters of their ids (`model.subject.with_subjects`)."""
    before = [front.job_id for front in (hold.front, hold.contenders) if front is not None]
    holders = (holder for verdict in hold.closed for holder in verdict.holders[:SHOWN_HOLDERS])
    return tuple(dict.fromkeys((*before, *holders)))


def sentence(hold: Hold, now: float, waited_s: float, when: When | None = None, who: str = "") -> str:
    """«waiting 14 min 10 s: 3 jobs of higher priority go before it (the first is xyz); vram needs 10.0 GiB,
    gpu0 has 6.1 GiB (held by abc, def until about 14:05), gpu1 can never (7.5 GiB); report, hold, scratch
    open; there is room about 14:05 at the earliest, for those before it first»; `who` has the last part,
    where it is another."""
    nodes = {v.where.partition("/")[0] for v in hold.verdicts if "/" in v.where}
    only = f"{next(iter(nodes))}/" if len(nodes) == 1 else ""
    closed = {verdict.gate for verdict in hold.closed}
    no: dict[Gate, list[Verdict]] = {gate: [v for v in hold.closed if v.gate == gate] for gate in GATES}
    parts = [
        *before(hold),
        *(_closed(gate, verdicts, only, now, when) for gate, verdicts in no.items() if verdicts),
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
    if is_refused(hold):
        return "waits for somebody to act"
    return "can never run while others use so much" if is_never(hold, now) else ""


def never_sentence(hold: Hold, now: float) -> str:
    """«3 jobs of t: vram needs 23.5 GiB, node1/gpu0 has 23.2 GiB free (300 MiB used by others)»."""
    final = [v for v in hold.closed if v.is_never or v.is_crowded] or hold.closed
    words = dict.fromkeys(describe(v, now) for v in final)
    return f"{many(hold.waiting, 'job')} of {hold.task}: {'; '.join(words)}"


def before(hold: Hold) -> list[str]:
    """«3 jobs of higher priority go before it (the first is xyz)»; nothing where it is the next one, and
    nobody else may be."""
    front = hold.front
    if front is None:
        return _may_go_before(hold)
    of_them = " of higher priority" if front.higher == front.jobs else ""
    some = f", {front.higher} of them of higher priority" if 0 < front.higher < front.jobs else ""
    go = "goes" if front.jobs == 1 else "go"
    first = front.job_id[:SHORT_ID] if front.jobs == 1 else f"the first is {front.job_id[:SHORT_ID]}"
    return [f"{many(front.jobs, 'job')}{of_them} {go} before it{some} ({first})"]


def _may_go_before(hold: Hold) -> list[str]:
    """«2 jobs may go before it once there is room, for the order is made anew then (the first is xyz)»."""
    contenders = hold.contenders
    if contenders is None:
        return []
    first = (
        contenders.job_id[:SHORT_ID]
        if contenders.jobs == 1
        else f"the first is {contenders.job_id[:SHORT_ID]}"
    )
    jobs = many(contenders.jobs, "job")
    return [f"{jobs} may go before it once there is room, for the order is made anew then ({first})"]


def _closed(gate: Gate, verdicts: Sequence[Verdict], only: str, now: float, when: When | None) -> str:
    """One gate with all places that say no; `only`: the node that need not be named."""
    answers = _one_a_place(verdicts)
    amounts = [answer for answer in answers if _is_amount(answer[0])]
    words = [describe(answer[0], now, when) for answer in answers if not _is_amount(answer[0])]
    if amounts:
        first = amounts[0][0]
        places = (_place(*answer, now=now, when=when).removeprefix(only) for answer in amounts[:SHOWN_PLACES])
        words.insert(0, ", ".join([f"{gate} needs {amount(first.need, first.unit)}", *places]))
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
    kept = hold.reserved_at or "a place"
    since = "" if hold.reserved_at or hold.reserved_from is None else f" from {when(hold.reserved_from)} on"
    if hold.starts_by is not None:
        words.append(f"starts no later than {when(hold.starts_by)}: {kept} is kept free for it{since}")
    elif hold.reserved_at or hold.reserved_from is not None:
        words.append(f"{kept} is kept free for it{since}")
    if hold.first_from is not None and not words:
        words.append(
            f"goes before all others of its backlog from {when(hold.first_from)} on, later if more work comes"
        )
    return words


def _soonest(hold: Hold, at: float, now: float, when: When | None) -> str:
    """No promise that others may take, nor one that time has passed by."""
    if at <= now:
        return "there is room any moment: what it waits for has run longer than its estimate"
    moment = (when or _from(now))(at)
    if hold.front is not None:
        return f"there is room {moment} at the earliest, for those before it first"
    if hold.contenders is not None:
        return f"there is room {moment} at the earliest, for it or for those"
    is_queued = any(v.gate == "lane" for v in hold.closed)
    asked = " and ".join(dict.fromkeys(v.where for v in hold.closed if v.reason in AWAY))
    answers = f" if {asked} {'answer' if ' and ' in asked else 'answers'} then" if asked else ""
    return f"would {'be handed over' if is_queued else 'start'} {moment}{answers}"


def _until(at: float, now: float, when: When | None) -> str:
    if at <= now:
        return "any moment: over its estimate"
    return f"for about {duration(at - now)} more" if when is None else f"until {when(at)}"


def _opens(verdict: Verdict, at: float, now: float, when: When | None) -> str:
    """Of a hold that ends by itself: a backfill reservation, hours, the next try of a kind that failed."""
    if verdict.reason is Reason.BREAKER_WAITS:
        return f"next try in {duration(max(0.0, at - now))}"
    return _until(at, now, when)


def _one_a_place(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """A disk may refuse twice: there is no room, and the job would keep begun chains from finishing. One
    answer a place, followed by those that say more about it. Other gates say the same words once."""
    found: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        is_amount = _is_amount(verdict)
        answer = found.setdefault((verdict.where, verdict.unit if is_amount else words_of(verdict)), [])
        if not answer or (is_amount and all(verdict.reason is not known.reason for known in answer)):
            answer.append(verdict)
    return list(found.values())


def _from(now: float) -> When:
    return lambda at: f"in about {duration(max(0.0, at - now))}"


def leading(hold: Hold) -> Verdict | None:
    """The closed verdict to name if only one can be named: the lane's depth is the last to be worth a
    word.
    """
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
        return f"rate: {words_of(verdict)}"
    then, left = "", ""
    if verdict.reopens_at is not None:
        again = "asked again" if verdict.reason in AWAY else "reopens"
        then = f", {again} in {duration(max(0.0, verdict.reopens_at - now))}"
    if verdict.unit:
        window = "" if verdict.reason is Reason.MONEY_SPENT else " a minute"
        left = f": {verdict.have:g} of {verdict.limit:g} {verdict.unit}{window} left"
    what = "the money is " if verdict.reason is Reason.MONEY_SPENT else ""
    return f"{what}{words_of(verdict)}{then} ({verdict.where}{left})"


def _counter(verdict: Verdict, now: float, when: When | None) -> str:
    """«waits for nuke: 3 of 3 held by a1b2c3d4 until about 14:05, 2 outside Conductor»."""
    some = f"{verdict.need:g} of {verdict.where}" if verdict.need > 1 else verdict.where
    if verdict.reason is Reason.COUNTER_TOO_SMALL:
        return f"needs {some}, {words_of(verdict)}"
    if verdict.reason is not Reason.COUNTER_TAKEN:
        return f"waits for {some}: {words_of(verdict)}"
    ends = "" if verdict.reopens_at is None else f" {_until(verdict.reopens_at, now, when)}"
    held = f"{words_of(verdict)}{_holders(verdict).removeprefix(' held')}"
    others = f", {verdict.detail.others:g} outside Conductor" if verdict.detail.others else ""
    return f"waits for {some}: {held}{ends}{others}"


def _answered(answer: Sequence[Verdict], now: float) -> str:
    return _described(*answer, now=now) if _is_amount(answer[0]) else describe(answer[0], now)


def _described(verdict: Verdict, *more: Verdict, now: float, when: When | None = None) -> str:
    place = _place(verdict, *more, now=now, when=when)
    return f"{verdict.gate} needs {amount(verdict.need, verdict.unit)}, {place}"


def _place(verdict: Verdict, *more: Verdict, now: float, when: When | None) -> str:
    """«node1/gpu0 has 6.1 GiB free (held by abc, until about 14:05)», «node1/gpu1 can never (7.5 GiB)»."""
    where, words = verdict.where, words_of(verdict)
    if verdict.is_never:
        return f"{where} can never ({words})"
    if verdict.limit == 0 and words:
        return f"{where}: {words}"
    text = f"{where} has {amount(verdict.have, verdict.unit)} free"
    notes = [note for note in (words, *map(_also, more), _holders(verdict).strip()) if note]
    if verdict.reopens_at is not None:
        notes.append(_until(verdict.reopens_at, now, when))
    return f"{text} ({', '.join(notes)})" if notes else text


def _also(verdict: Verdict) -> str:
    """Of a place that lacks room besides: that it fits is not true there."""
    if (unfinished := UNFINISHED.get(verdict.reason)) is not None:
        return f"and with room {unfinished}"
    return f"can never: {words_of(verdict)}" if verdict.is_never else words_of(verdict)


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
    words = words_of(verdict)
    return f"({words})" if words else ""
