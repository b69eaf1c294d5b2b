"""The gates as rows of a table: what waits at each, what is free there, how long it is closed, what opens it.

Made of the record of the last tick alone. Pure; times are epoch seconds by the ledger's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from conductor.base.hours import about
from conductor.core.admission.explain import describe
from conductor.core.admission.sentences import amount
from conductor.model.decision import GATES, Gate, Hold, Shared, Verdict
from conductor.model.reason import Reason
from conductor.model.snapshot import RateState
from conductor.model.spec import Value
from conductor.views.status import Status

#: What holds everything back, whatever its task.
OF_ALL = (Reason.HELD_BACK, Reason.DRAINING)
#: Of the jobs behind a gate so many heads are named.
SHOWN_HEADS = 20


class GateRow(Value, frozen=True, kw_only=True):
    """One gate at one place. Amounts are in `unit`; None where the gate has no amount, or nobody knows it."""

    gate: Gate
    #: «node1/gpu0», a rate key, a lane, of a breaker or canaries the task; empty: everywhere.
    where: str
    unit: str = ""
    is_open: bool = True
    free: float | None = None
    limit: float | None = None
    reserved: float | None = None
    others: float | None = None
    #: Jobs that this gate holds back here, the first of each class, and the most that one of them needs.
    waiting: int = 0
    heads: tuple[str, ...] = ()
    need: float | None = None
    #: No wait ever opens it here for those that wait.
    is_never: bool = False
    closed_since: float | None = None
    opens_at: float | None = None
    #: «6.1 of 24.0 GiB free», and the gate's whole answer.
    value: str = ""
    words: str = ""
    #: Ids of the jobs that hold it, the earliest release first.
    holders: tuple[str, ...] = ()
    #: Seconds for which this gate, wherever it was asked, held at least one class back.
    lost_s: float = 0.0


def gate_rows(status: Status, shared: Iterable[Shared]) -> tuple[GateRow, ...]:
    """Closed ones first, those that hold most jobs back before the others; then what is open."""
    rows: dict[tuple[Gate, str, str], GateRow] = {}
    for row in (*map(_of_shared, shared), *_of_rates(status.rates)):
        rows[row.gate, row.where, row.unit] = row
    for hold in status.holds:
        for verdict in hold.closed:
            where = _place(hold, verdict)
            key = (verdict.gate, where, verdict.unit)
            known = rows.get(key) or GateRow(gate=verdict.gate, where=where, unit=verdict.unit)
            rows[key] = _closed(known, hold, verdict, status)
    found = (_with_lost(row, status) for row in rows.values())
    return tuple(sorted(found, key=_rank))


def _place(hold: Hold, verdict: Verdict) -> str:
    """A breaker or canaries hold one kind of job: another task waits for something else."""
    if verdict.gate != "hold" or verdict.where or verdict.reason in OF_ALL:
        return verdict.where
    return hold.task


def _rank(row: GateRow) -> tuple[bool, int, int, str]:
    return row.is_open, -row.waiting, GATES.index(row.gate), row.where


def _of_shared(shared: Shared) -> GateRow:
    free, limit = (amount(value, shared.unit) for value in (shared.free, shared.limit))
    return GateRow(
        gate=shared.gate,
        where=shared.where,
        unit=shared.unit,
        free=shared.free,
        limit=shared.limit,
        reserved=shared.reserved,
        others=shared.others,
        value=f"{free} of {limit} free",
    )


def _of_rates(rates: Iterable[RateState]) -> Iterator[GateRow]:
    for rate in rates:
        for unit, left, limit in (
            ("requests", rate.requests_left, rate.requests_limit),
            ("tokens", rate.tokens_left, rate.tokens_limit),
            ("USD", rate.usd_left, rate.usd_limit),
        ):
            if left is not None and limit is not None:
                words = f"{max(0, left):g} of {limit:g} {unit} left"
                yield GateRow(
                    gate="rate", where=rate.key, unit=unit, free=max(0, left), limit=limit, value=words
                )


def _closed(row: GateRow, hold: Hold, verdict: Verdict, status: Status) -> GateRow:
    """`row` with what this class says of it."""
    since = hold.closed_since.get(verdict.gate)
    opens = verdict.reopens_at
    is_first = row.is_open
    moment = status.ledger_age.moment(status.now)
    words = row.words or status.calling([describe(verdict, moment, about(moment))])[0]
    return GateRow(
        gate=row.gate,
        where=row.where,
        unit=row.unit,
        is_open=False,
        free=row.free if row.free is not None else _number(verdict, verdict.have),
        limit=row.limit if row.limit is not None else _number(verdict, verdict.limit),
        reserved=row.reserved,
        others=row.others,
        waiting=row.waiting + hold.waiting,
        heads=(*row.heads, hold.head)[:SHOWN_HEADS] if hold.head else row.heads,
        need=max(row.need or 0.0, verdict.need) if verdict.unit else row.need,
        is_never=verdict.is_never and (is_first or row.is_never),
        closed_since=_least(row.closed_since, since),
        opens_at=_least(row.opens_at, opens),
        value=row.value,
        words=words,
        holders=row.holders or verdict.holders,
    )


def _number(verdict: Verdict, value: float) -> float | None:
    return value if verdict.unit else None


def _least(known: float | None, other: float | None) -> float | None:
    return min((value for value in (known, other) if value is not None), default=None)


def _with_lost(row: GateRow, status: Status) -> GateRow:
    return replace(row, lost_s=round(status.lost_s.get(row.gate, 0.0), 1))
