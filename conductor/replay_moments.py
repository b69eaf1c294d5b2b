"""Recorded ticks, looked at: what was decided at a moment, and why a job waited then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec

from conductor.core.explain import explain
from conductor.core.holds import carried, closed_gates
from conductor.errors import UsageError
from conductor.model.decision import Decision, GateLedger, Hold, Verdict
from conductor.model.spec import Value
from conductor.recording_frames import Tick
from conductor.replay import clock, compared, place

#: A gap between two ticks longer than this: the conductor was not running, or did not lead.
GAP_S = 60.0

# ── one moment ────────────────────────────────────────────────────────────────────────────────────────────


class Moment(Value, frozen=True, kw_only=True):
    """One tick as it was, its holds with the time since when."""

    tick: int
    at: float
    decision: Decision


def moments(ticks: Iterable[Tick]) -> Iterator[tuple[Tick, Moment]]:
    """Each tick with its decision, in which a hold knows since when it is the same."""
    gates = GateLedger()
    for number, tick in enumerate(ticks, start=1):
        now, was = tick.snapshot.now, whole(tick)
        gates = GateLedger(at=now, holds=carried(was.hold, gates if is_near(gates, now) else GateLedger(), now))
        decision = msgspec.structs.replace(was, hold=gates.holds)
        yield tick, Moment(tick=number, at=now, decision=decision)


def whole(tick: Tick) -> Decision:
    """With its holds: those of then where they were kept, else worked out again."""
    return tick.decision if tick.is_full else compared(tick)[0]


def is_near(gates: GateLedger, now: float) -> bool:
    return 0 <= now - gates.at <= GAP_S


def tick_number(ticks: Iterable[Tick], number: int) -> tuple[Tick, Moment]:
    """The so-manyth; negative: from the end. Raises `UsageError` where there is none."""
    found = list(moments(ticks)) if number < 0 else []
    for at, pair in enumerate(found if number < 0 else moments(ticks)):
        if (at - len(found) if number < 0 else at + 1) == number:
            return pair
    raise UsageError(f"there is no tick {number}: `conductor replay` without --tick counts them")


def tick_at(ticks: Iterable[Tick], at: float) -> tuple[Tick, Moment]:
    """The last one not after `at`. Raises `UsageError` where the recording begins later."""
    found: tuple[Tick, Moment] | None = None
    for pair in moments(ticks):
        if pair[1].at > at:
            break
        found = pair
    if found is None:
        raise UsageError(f"nothing was recorded before {clock(at)}")
    return found


def moment_of(text: str, last_at: float) -> float:
    """«02:14», «02:14:03» (of the night before `last_at`), «2026-11-22T02:14» or epoch seconds, local time."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        if "T" in text or " " in text.strip():
            return datetime.fromisoformat(text.strip()).astimezone().timestamp()
        # The seconds are the last of them: at 02:14 much happens until 02:15.
        spare = 0 if text.count(":") > 1 else 59.999
        day = datetime.fromtimestamp(last_at).astimezone()
        hour = datetime.strptime(text, "%H:%M:%S" if text.count(":") > 1 else "%H:%M")
        at = day.replace(hour=hour.hour, minute=hour.minute, second=hour.second, microsecond=0)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write 02:14, 02:14:03, 2026-11-22T02:14 or epoch seconds") from None
    return (at if at.timestamp() <= last_at else at - timedelta(days=1)).timestamp() + spare


def lines_of(moment: Moment) -> list[str]:
    """What one tick decided, for people."""
    decision = moment.decision
    held = f"{len(decision.hold)} {'class' if len(decision.hold) == 1 else 'classes'} held"
    out = [f"tick {moment.tick}, {clock(moment.at)}: {len(decision.admit)} admitted, {held}"]
    out += [
        f"  admitted {a.reservation.job_id} of {a.reservation.task} → {place(a.reservation)}" for a in decision.admit
    ]
    for hold in decision.hold:
        out.append(f"  {hold.task} of {hold.backlog} (class {hold.class_id})")
        out += [f"    {line}" for line in explain(hold, moment.at)]
    return out


# ── one job ───────────────────────────────────────────────────────────────────────────────────────────────


class JobMoment(Value, frozen=True, kw_only=True):
    """What one job waited for from then on, in words; `until` the next change or the end of the recording."""

    at: float
    until: float
    state: str
    because: tuple[Verdict, ...] = ()
    words: tuple[str, ...] = ()


def class_of_job(ticks: Iterable[Tick], job: str) -> tuple[str, dict[str, None]]:
    """(its id, its classes in their order) for the beginning of an id. Raises `UsageError` where none was seen.

    A tick names the first jobs of each class and what is going: one that waited further back is known from later ticks.
    """
    classes: dict[str, dict[str, None]] = {}
    for tick in ticks:
        for candidate in tick.candidates:
            for head in candidate.heads:
                if head.job_id.startswith(job):
                    classes.setdefault(head.job_id, {})[candidate.job_class.id] = None
        for r in (*tick.snapshot.reservations, *(a.reservation for a in tick.decision.admit)):
            if r.job_id.startswith(job):
                classes.setdefault(r.job_id, {})[r.class_id] = None
    if len(classes) > 1:
        raise UsageError(f"{job} could be {', '.join(list(classes)[:5])}: give more letters")
    for job_id, found in classes.items():
        return job_id, found
    raise UsageError(f"no job whose id begins with {job} was among those that a recorded tick looked at")


def story(ticks: Iterable[Tick], job_id: str, classes: dict[str, None], at: float | None = None) -> list[JobMoment]:
    """Its waits and runs, one entry for each change of what kept it. `at`: the one of that time, as it was then.

    Raises `UsageError` where the recording begins later."""
    out: list[JobMoment] = []
    key: object = None
    if at is not None:
        ticks = takewhile(lambda tick: tick.snapshot.now <= at, ticks)
    for tick, moment in moments(ticks):
        state, hold, words = _state(tick, moment, job_id, classes)
        if out:
            out[-1] = msgspec.structs.replace(out[-1], until=moment.at)
        begin = moment.at
        if key == (state, None if hold is None else closed_gates(hold)):
            begin = out.pop().at  # the numbers of its last tick are those that count
        because = () if hold is None else hold.closed
        out.append(JobMoment(at=begin, until=moment.at, state=state, because=because, words=words))
        key = (state, None if hold is None else closed_gates(hold))
    if at is not None and not out:
        raise UsageError(f"nothing was recorded before {clock(at)}")
    return out if at is None else out[-1:]


def _state(
    tick: Tick, moment: Moment, job_id: str, classes: dict[str, None]
) -> tuple[str, Hold | None, tuple[str, ...]]:
    for a in moment.decision.admit:
        if a.reservation.job_id == job_id:
            return "admitted", None, (f"admitted to {place(a.reservation)}",)
    for r in tick.snapshot.reservations:
        if r.job_id == job_id:
            return r.state, None, (f"{r.state} on {place(r)}, attempt {r.attempt}",)
    waiting = {c.job_class.id: c for c in tick.candidates if c.job_class.id in classes}
    for class_id, candidate in waiting.items():
        if candidate.waiting <= len(candidate.heads) and all(head.job_id != job_id for head in candidate.heads):
            continue
        hold = next((h for h in moment.decision.hold if h.class_id == class_id), None)
        if hold is None:
            return "waiting", None, ("its class was being admitted: its turn had not come",)
        return "waiting", hold, tuple(explain(hold, moment.at))
    return "away", None, ("not free to go, or over: it waited for others, for a back-off, or had ended",)


def lines_of_story(job_id: str, found: Iterable[JobMoment]) -> list[str]:
    out = [job_id]
    for moment in found:
        out.append(f"  {clock(moment.at)} – {clock(moment.until)[-8:]}  {moment.state}")
        out += [f"    {words}" for words in moment.words]
    return out
