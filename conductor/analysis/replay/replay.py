"""Recorded ticks decided again: is the answer the same, and if not, what is the first difference in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from conductor.analysis.replay.recording_frames import (
    NEVER,
    Gates,
    Tick,
    canonical,
    closed,
    gates_of,
)
from conductor.base.text import many
from conductor.core.admission.admission import decide
from conductor.core.admission.explain import describe
from conductor.model.decision import Decision, Hold
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value


class Difference(Value, frozen=True, kw_only=True):
    """The first tick that is decided otherwise now. `tick` counts from 1."""

    tick: int
    at: float
    words: str


class Replayed(Value, frozen=True, kw_only=True):
    """`skipped`: ticks that the recorder itself had to leave out."""

    ticks: int
    same: int
    skipped: int
    first_at: float | None = None
    last_at: float | None = None
    difference: Difference | None = None


def replay(ticks: Iterable[Tick]) -> Replayed:
    """Run the very same decision on each, and hold the answer against the one of then."""
    count = same = skipped = 0
    first = last = None
    difference: Difference | None = None
    for tick in ticks:
        count += 1
        skipped += tick.skipped
        last = tick.snapshot.now
        first = last if first is None else first
        words = difference_of(tick)
        if words is None:
            same += 1
        elif difference is None:
            difference = Difference(tick=count, at=tick.snapshot.now, words=words)
    return Replayed(
        ticks=count, same=same, skipped=skipped, first_at=first, last_at=last, difference=difference
    )


# ── the difference, in words ──────────────────────────────────────────────────────────────────────────────


def difference_of(tick: Tick) -> str | None:
    """None: the same, bit for bit."""
    return compared(tick)[1]


def compared(tick: Tick) -> tuple[Decision, str | None]:
    """The decision as it is now, and what was another one then."""
    now = decide(tick.snapshot, tick.candidates, tick.limits)
    then, found = canonical(without_holds(tick.decision)), canonical(without_holds(now))
    if then != found:
        return now, in_words(then, found)
    if not tick.is_full:
        return now, _gates_differ(tick.gates or {}, gates_of(now))
    then, found = canonical(tick.decision), canonical(now)
    return now, None if then == found else in_words(then, found)


def _gates_differ(then: Gates, now: Gates) -> str | None:
    """Of a tick whose holds were not kept in full."""
    for class_id in dict.fromkeys((*then, *now)):
        before, after = then.get(class_id), now.get(class_id)
        if before != after:
            return f"the class {class_id} was {_mask(before)}; now {_mask(after)}"
    return None


def _mask(mask: int | None) -> str:
    if mask is None:
        return "not held"
    return f"held by {', '.join(closed(mask)) or 'no gate'}{' for ever' if mask & NEVER else ''}"


def without_holds(decision: Decision) -> Decision:
    return msgspec.structs.replace(decision, hold=())


def in_words(then: Decision, now: Decision) -> str:
    """What is first not the same: whom it admits, where to, whom it holds and why, when it looks again."""
    admitted_then = {a.reservation.job_id: a for a in then.admit}
    admitted_now = {a.reservation.job_id: a for a in now.admit}
    for job_id, admission in admitted_then.items():
        other = admitted_now.get(job_id)
        if other is None:
            return f"{job_id} was admitted to {place(admission.reservation)}; now it is not"
        if place(other.reservation) != place(admission.reservation):
            return (
                f"{job_id} was admitted to {place(admission.reservation)}; now to {place(other.reservation)}"
            )
        if other != admission:
            return f"{job_id} is admitted with other numbers: {fields(admission, other)}"
    for job_id, admission in admitted_now.items():
        if job_id not in admitted_then:
            return f"{job_id} was not admitted; now it is, to {place(admission.reservation)}"
    if list(admitted_then) != list(admitted_now):
        return f"admitted in another order: {', '.join(admitted_then)}; now {', '.join(admitted_now)}"
    return _held(then, now) or f"other numbers: {fields(then, now)}"


def _held(then: Decision, now: Decision) -> str | None:
    held_then, held_now = ({h.class_id: h for h in d.hold} for d in (then, now))
    for class_id in dict.fromkeys((*held_then, *held_now)):
        before, after = held_then.get(class_id), held_now.get(class_id)
        if before is None or after is None:
            return (
                f"the class {class_id} was "
                f"{'not held; now it is' if before is None else 'held; now it is not'}"
            )
        if before.closed != after.closed:
            return (
                f"the class {class_id} was held by {_closed(before, then.now)}; now by "
                f"{_closed(after, now.now)}"
            )
        if before != after:
            return f"the class {class_id} is held with other numbers: {fields(before, after)}"
    return None


def _closed(hold: Hold, now: float) -> str:
    return "; ".join(describe(verdict, now) for verdict in hold.closed) or "no gate"


def fields(one: msgspec.Struct, other: msgspec.Struct) -> str:
    """«next_tick_s 1.0, now 0.05», for each field that is not the same."""
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    return (
        ", ".join(f"{name} {_short(a)}, now {_short(b)}" for name, a, b in pairs if a != b) or "their order"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def place(reservation: Reservation) -> str:
    return "/".join((reservation.node, *reservation.devices))


def lines(found: Replayed) -> list[str]:
    """«412 ticks from … to …, all decided as then», or the first that is not."""
    if found.first_at is None or found.last_at is None:
        return ["no tick is recorded there"]
    out = [f"{many(found.ticks, 'tick')}, {clock(found.first_at)} to {clock(found.last_at)[-8:]}"]
    if found.skipped:
        out.append(
            f"{many(found.skipped, 'tick')} could not be recorded: the disk was slower than the conductor"
        )
    if found.difference is None:
        return [*out, "all decided again: the same, bit for bit"]
    d = found.difference
    out.append(
        f"{found.ticks - found.same} decided otherwise now; the first is tick {d.tick} ({clock(d.at)}):"
    )
    return [*out, f"  {d.words}"]


def clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
