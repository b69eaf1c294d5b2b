"""Recorded ticks, looked at: what was decided at a moment, and why a job waited then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import msgspec

from conductor.analysis.replay.recording_frames import Gates, Point, Tick, closed
from conductor.analysis.replay.replay import clock, compared, place
from conductor.base.errors import UsageError
from conductor.core.admission.explain import explain
from conductor.model.decision import Admission, Decision, Gate, Hold, Verdict
from conductor.model.snapshot import Head, JobClass, Reservation
from conductor.model.spec import Value

#: A gap between two ticks longer than this: the conductor was not running, or did not lead.
GAP_S = 60.0
#: Of a job that waited for other things again and again the numbers are worked out for so many of its longest
#: waits.
MOST_TOLD = 50

# ── one moment ────────────────────────────────────────────────────────────────────────────────────────────


class Moment(Value, frozen=True, kw_only=True):
    """One tick as it was, its holds with the time since when."""

    tick: int
    at: float
    decision: Decision


class Since:
    """Shown each tick in turn: since when which gates are closed to whom. Nothing is decided for that."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._gates: Gates = {}
        #: Class → since when it is held by the present set of gates; since when by each.
        self._began: dict[str, float] = {}
        self._closed: dict[str, dict[Gate, float]] = {}

    def look(self, point: Point) -> None:
        if not 0 <= point.now - self._at <= GAP_S:
            self._gates = {}
        self._at = point.now
        if point.gates is self._gates:
            return
        for class_id, mask in point.gates.items():
            if self._gates.get(class_id) != mask:
                was = self._closed.get(class_id, {}) if class_id in self._gates else {}
                self._began[class_id] = point.now
                self._closed[class_id] = {gate: was.get(gate, point.now) for gate in closed(mask)}
        self._gates = point.gates

    def dated(self, hold: Hold) -> Hold:
        began, gates = self._began.get(hold.class_id, hold.since), self._closed.get(hold.class_id, {})
        return msgspec.structs.replace(hold, since=began, closed_since=gates)


def tick_number(points: Iterable[Point], number: int) -> tuple[Tick, Moment]:
    """The so-manyth; negative: from the end. Raises `UsageError` where there is none."""
    if number < 0:
        points = list(points)
        number += len(points) + 1
    since, at = Since(), 0
    for at, point in enumerate(points, start=1):
        since.look(point)
        if at == number:
            return _moment(at, point, since)
    count = at if number > 0 else len(points) if isinstance(points, list) else 0
    raise UsageError(
        f"there is no such tick: {f'there are {count}, from 1 on' if count else 'they count from 1 on'}"
    )


def tick_at(points: Iterable[Point], at: float) -> tuple[Tick, Moment]:
    """The last one not after `at`. Raises `UsageError` where the recording begins later."""
    found, since, number, point = None, Since(), 0, None
    for number, point in enumerate(points, start=1):
        if point.now > at:
            break
        since.look(point)
        found = number, point
    if found is None:
        raise UsageError(_too_early(at, point))
    return _moment(*found, since)


def _too_early(at: float, first: Point | None) -> str:
    if first is None:
        return "no tick is recorded there"
    return f"nothing was recorded before {clock(at)}: the first tick is of {clock(first.now)}"


def _moment(number: int, point: Point, since: Since) -> tuple[Tick, Moment]:
    tick = point.tick()
    was = whole(tick)
    decision = msgspec.structs.replace(was, hold=tuple(since.dated(hold) for hold in was.hold))
    return tick, Moment(tick=number, at=point.now, decision=decision)


def whole(tick: Tick) -> Decision:
    """With its holds: those of then where they were kept, else worked out again."""
    return tick.decision if tick.is_full else compared(tick)[0]


def moment_of(text: str, last_at: float) -> float:
    """«02:14», «02:14:03» (of the night before `last_at`), «2026-11-22T02:14» or epoch seconds, local
    time.
    """
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
        raise UsageError(
            f"{text!r} is no time: write 02:14, 02:14:03, 2026-11-22T02:14 or epoch seconds"
        ) from None
    return (at if at.timestamp() <= last_at else at - timedelta(days=1)).timestamp() + spare


def lines_of(moment: Moment, asked: float | None = None) -> list[str]:
    """What one tick decided, for people. `asked`: the time that it was looked up by."""
    decision = moment.decision
    held = f"{len(decision.hold)} {'class' if len(decision.hold) == 1 else 'classes'} held"
    out = [f"tick {moment.tick}, {clock(moment.at)}: {len(decision.admit)} admitted, {held}"]
    out += [
        f"  admitted {a.reservation.job_id} of {a.reservation.task} → {place(a.reservation)}"
        for a in decision.admit
    ]
    if asked is not None and asked - moment.at > GAP_S:
        out.insert(0, f"no tick is recorded at {clock(asked)}: this is the last one before")
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


def class_of_job(points: Iterable[Point], job: str) -> tuple[str, dict[str, None]]:
    """(its id, its classes in their order) for the beginning of an id, which the points were read with as
    their needle.

    Raises `UsageError` where none was seen, or several were. A tick names the first jobs of each class and
    what is going: one that waited further back is known from later ticks.
    """
    classes: dict[str, dict[str, None]] = {}
    seen: tuple[Any, ...] = ()
    for point in points:
        now = (point.candidates, point.reservations)
        if point.found and (
            point.admit or not all(a is b for a, b in zip(now, seen, strict=False)) or not seen
        ):
            for job_id, class_id in _named(point):
                if job_id.startswith(job):
                    classes.setdefault(job_id, {})[class_id] = None
        seen = now
    if len(classes) > 1:
        raise UsageError(f"{job} could be {', '.join(list(classes)[:5])}: give more letters")
    for job_id, found in classes.items():
        return job_id, found
    raise UsageError(f"no job whose id begins with {job} was among those that a recorded tick looked at")


def _named(point: Point) -> Iterator[tuple[str, str]]:
    """(job, class) in the parts in which the needle stands."""
    for kind, _, heads in point.candidates:
        if heads in point.found:
            for head in point.value(heads, tuple[Head, ...]):
                yield head.job_id, point.value(kind, JobClass).id
    for r in _going(point):
        yield r.job_id, r.class_id


def _going(point: Point) -> Iterator[Reservation]:
    """What was admitted, then what runs, of the parts in which the needle stands."""
    for number in point.admit:
        if number in point.found:
            yield point.value(number, Admission).reservation
    for number in point.reservations:
        if number in point.found:
            yield point.value(number, Reservation)


class TickOutcome(Value, frozen=True, kw_only=True):
    """What a tick made of one job. `mask`: of the gates that were closed to its class."""

    state: str
    words: str = ""
    class_id: str = ""
    mask: int | None = None


class Draft:
    """A time in which nothing changed for the job, with its last tick: the numbers of that one are those
    that count.
    """

    __slots__ = ("at", "point", "state")

    def __init__(self, point: Point, state: TickOutcome) -> None:
        self.at, self.point, self.state = point.now, point, state


def story(
    points: Iterable[Point], job_id: str, classes: dict[str, None], at: float | None = None
) -> list[JobMoment]:
    """Its waits and runs, one entry for each change of what kept it. `at`: the one of that time, as it was
    then.

    `points` were read with the id as their needle. Raises `UsageError` where the recording begins later."""
    if at is not None:
        points = takewhile(lambda point: point.now <= at, points)
    drafts = _drafts(points, job_id, classes)
    if at is not None:
        if not drafts:
            raise UsageError(f"nothing was recorded before {clock(at)}")
        drafts = drafts[-1:]
    waits = sorted((d for d in drafts if d.state.mask is not None), key=lambda d: d.at - d.point.now)
    told = {id(draft) for draft in waits[:MOST_TOLD]}
    return [_told(draft, id(draft) in told) for draft in drafts]


def _drafts(points: Iterable[Point], job_id: str, classes: dict[str, None]) -> list[Draft]:
    out: list[Draft] = []
    before: Point | None = None
    for point in points:
        is_near = before is not None and 0 <= point.now - before.now <= GAP_S
        state = (
            out[-1].state
            if before is not None and _is_alike(before, point)
            else _state(point, job_id, classes)
        )
        if out and is_near and out[-1].state == state:
            out[-1].point = point
        else:
            if out and is_near and before is not None:
                out[-1].point = before
            out.append(Draft(point, state))
        before = point
    return out


def _is_alike(before: Point, point: Point) -> bool:
    """Nothing that the state of a job goes by has changed."""
    return not (before.admit or point.admit) and all(
        a is b
        for a, b in (
            (before.candidates, point.candidates),
            (before.reservations, point.reservations),
            (before.gates, point.gates),
        )
    )


def _state(point: Point, job_id: str, classes: dict[str, None]) -> TickOutcome:
    for number in point.admit:
        if number in point.found and (r := point.value(number, Admission).reservation).job_id == job_id:
            return TickOutcome(state="admitted", words=f"admitted to {place(r)}")
    for number in point.reservations:
        if number in point.found and (r := point.value(number, Reservation)).job_id == job_id:
            return TickOutcome(state=r.state, words=f"{r.state} on {place(r)}, attempt {r.attempt}")
    for row in point.candidates:
        class_id = point.value(row[0], JobClass).id
        if class_id not in classes:
            continue
        heads = point.value(row[2], tuple[Head, ...])
        if row[1] <= len(heads) and all(head.job_id != job_id for head in heads):
            continue
        mask = point.gates.get(class_id)
        words = "its class was being admitted: its turn had not come" if mask is None else ""
        return TickOutcome(state="waiting", words=words, class_id=class_id, mask=mask)
    return TickOutcome(
        state="away", words="not free to go, or over: it waited for others, for a back-off, or had ended"
    )


def _told(draft: Draft, is_in_full: bool) -> JobMoment:
    state, until = draft.state, draft.point.now
    plain = JobMoment(at=draft.at, until=until, state=state.state, words=(state.words,))
    if state.mask is None:
        return plain
    if is_in_full:
        for hold in whole(draft.point.tick()).hold:
            if hold.class_id == state.class_id:
                words = tuple(explain(msgspec.structs.replace(hold, since=draft.at), until))
                return msgspec.structs.replace(plain, because=hold.closed, words=words)
    return msgspec.structs.replace(plain, words=(f"held by {', '.join(closed(state.mask))}",))


def lines_of_story(job_id: str, found: Iterable[JobMoment]) -> list[str]:
    out = [job_id]
    for moment in found:
        out.append(f"  {clock(moment.at)} – {clock(moment.until)[-8:]}  {moment.state}")
        out += [f"    {words}" for words in moment.words]
    return out
