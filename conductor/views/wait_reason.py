"""Why one job waits: the record of the last tick as that job's own answer. Nothing is worked out a second
time.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor.base.hours import about
from conductor.base.text import duration, many, table
from conductor.core.admission.earliest_start import earliest
from conductor.core.admission.explain import sentence
from conductor.core.admission.sentences import amount, words_of
from conductor.model.decision import Gate, Hold, Verdict
from conductor.model.ledger_entries import JobView
from conductor.model.reason import Detail, Reason
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID, with_subjects

SHOWN_PLACES = 24


class PlaceAnswer(Value, frozen=True, kw_only=True):
    """One gate's answer about one place, with every number."""

    gate: Gate
    where: str
    is_open: bool
    is_never: bool
    need: float
    have: float
    #: have − need: negative is what is missing.
    margin: float
    limit: float
    unit: str
    holders: tuple[str, ...]
    #: Since when the gate is closed to this class, and how many seconds it has cost it so far.
    closed_since: float | None
    lost_s: float
    #: Earliest release; None: nobody can say.
    reopens_at: float | None
    #: What the answer means, what belongs to that, and the same in words.
    reason: Reason
    detail: Detail
    words: str


class WaitingJob(Value, frozen=True, kw_only=True):
    """A job that may go, and does not. Times are epoch seconds."""

    sentence: str
    waited_s: float
    #: Jobs of its class that go before it, and how many there are in all; the first of them.
    ahead: int
    of: int
    first: str
    #: Jobs of other classes that go before the first of its class, and take what it lacks; the first of them.
    in_front: int
    in_front_higher: int
    in_front_first: str
    #: Where there are none: jobs that may go before it once there is room; the first of them.
    contenders: int
    contenders_first: str
    gates: tuple[PlaceAnswer, ...]
    #: Of the first of its class: the earliest, the latest, and from when on a place is kept for it.
    would_start_at: float | None
    starts_by: float | None
    reserved_at: str
    reserved_from: float | None
    #: When it goes before all others of its backlog.
    first_from: float | None
    is_infeasible: bool


def waiting(job: JobView, hold: Hold, now: float, subjects: Mapping[str, str]) -> WaitingJob:
    """`hold`: the record of its class. `subjects`: job → what it is about, of those that the words name."""
    is_first = job.job_id == hold.head or not hold.head
    ahead = 0 if is_first else max(1, job.ahead or 0)
    return WaitingJob(
        sentence=with_subjects(_sentence(job, hold, ahead, now), subjects),
        waited_s=max(0.0, now - job.since),
        ahead=ahead,
        of=hold.waiting,
        first=hold.head or job.job_id,
        in_front=0 if hold.front is None else hold.front.jobs,
        in_front_higher=0 if hold.front is None else hold.front.higher,
        in_front_first="" if hold.front is None else hold.front.job_id,
        contenders=0 if hold.contenders is None else hold.contenders.jobs,
        contenders_first="" if hold.contenders is None else hold.contenders.job_id,
        gates=tuple(_asked(verdict, hold) for verdict in hold.verdicts),
        would_start_at=earliest(hold),
        starts_by=hold.starts_by,
        reserved_at=hold.reserved_at,
        reserved_from=hold.reserved_from,
        first_from=hold.first_from,
        is_infeasible=hold.is_infeasible,
    )


def _sentence(job: JobView, hold: Hold, ahead: int, now: float) -> str:
    why = sentence(hold, now, max(0.0, now - job.since), about(now), who="that one" if ahead else "")
    if not ahead or hold.is_infeasible:
        return why
    start, _, rest = why.partition(": ")
    before = f"{many(ahead, 'job')} with the same needs {'goes' if ahead == 1 else 'go'} before it"
    rest = rest.removeprefix("waits for ")
    return f"{start}: {before}, the first is {hold.head[:SHORT_ID]}, which waits for: {rest}"


def _asked(verdict: Verdict, hold: Hold) -> PlaceAnswer:
    return PlaceAnswer(
        gate=verdict.gate,
        where=verdict.where,
        is_open=verdict.passed,
        is_never=verdict.is_never,
        need=verdict.need,
        have=verdict.have,
        margin=verdict.margin,
        limit=verdict.limit,
        unit=verdict.unit,
        holders=verdict.holders,
        closed_since=None if verdict.passed else hold.closed_since.get(verdict.gate),
        lost_s=hold.lost_s.get(verdict.gate, 0.0),
        reopens_at=verdict.reopens_at,
        reason=verdict.reason,
        detail=verdict.detail,
        words=words_of(verdict),
    )


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def lines(found: WaitingJob, now: float) -> list[str]:
    """The sentence, the numbers of all gates that are closed, what they have cost."""
    when = about(now)
    rows: list[list[object]] = [
        ["gate", "where", "need", "have", "margin", "of", "closed since", "reopens", "lost"]
    ]
    for asked in [a for a in found.gates if not a.is_open][:SHOWN_PLACES]:
        numbers = [amount(value, asked.unit) if asked.unit else "" for value in (asked.need, asked.have)]
        margin = (
            f"{'-' if asked.margin < 0 else '+'}{amount(abs(asked.margin), asked.unit)}" if asked.unit else ""
        )
        since = "" if asked.closed_since is None else when(asked.closed_since).removeprefix("about ")
        reopens = "never" if asked.is_never else "" if asked.reopens_at is None else when(asked.reopens_at)
        of = amount(asked.limit, asked.unit) if asked.unit else ""
        rows.append([asked.gate, asked.where, *numbers, margin, of, since, reopens, duration(asked.lost_s)])
    gone = {a.gate: a.lost_s for a in found.gates if a.is_open and a.lost_s}
    out = [found.sentence, *(table(rows) if len(rows) > 1 else [])]
    if gone := {
        gate: lost for gate, lost in gone.items() if all(a.is_open for a in found.gates if a.gate == gate)
    }:
        out.append("  lost before: " + ", ".join(f"{gate} {duration(lost)}" for gate, lost in gone.items()))
    return out
