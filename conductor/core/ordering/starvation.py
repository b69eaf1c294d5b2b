"""Which jobs were passed over: jobs that come after them started while they lacked room. And the latest time
at which each will start.

A job that was passed over for long enough gets a backfill reservation
(`conductor/core/ordering/backfill.py`); waiting in a long line gives no such right. The promise holds against
everybody, higher priorities included. The promises are kept one after the other, in the order in which the
jobs were first passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from conductor.core.capacity.cluster import Free
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import NODE
from conductor.core.ordering.backfill import BackfillReservation
from conductor.core.ordering.orders import AT_ONCE_S
from conductor.core.ordering.turns import ClassTurn
from conductor.model.snapshot import Candidate, Head
from conductor.model.spec import LANES

_LANE_BIT = {lane: 1 << i for i, lane in enumerate(LANES)}
_VRAM, _DISK, *_OF_NODE = (1 << (len(LANES) + i) for i in range(2 + len(NODE)))
_RATES = len(LANES) + 2 + len(NODE)
#: Those who are passed over in one tick are so much apart, in the order in which the rule tried them.
APART_S = 1e-6


class Bound(NamedTuple):
    """From when a place is kept, and by when it starts at the latest; None: nobody can say."""

    reserved_from: float
    starts_by: float | None


class Tried(NamedTuple):
    """A job at its turn: what it takes a part of, as bits, and what it can claim against others. `level`: 0
    for the highest priority that waits.
    """

    bits: int
    backlog: str
    level: int
    since: float

    def is_passed_over_by(self, other: Tried) -> bool:
        """Does the start of `other`, which came after it, take what it may claim. Jobs of one dispatch have
        nothing to claim against each other: none of them comes without end, and only the end of the whole
        counts. Against a later dispatch, another backlog and a lower priority there is a claim."""
        return bool(self.bits & other.bits) and (
            self.backlog != other.backlog or other.level > self.level or other.since - self.since > AT_ONCE_S
        )


class Starvation:
    """Fed by the tick: who found no room, and who was started after that."""

    def __init__(
        self, passed_over: Mapping[str, float], now: float, slack_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        """`slack_s`: for how long from now on being passed over is the normal state."""
        self._passed_over = passed_over
        self._now = now
        self._slack_s = slack_s
        self._taken: list[Tried] = []
        #: Job → how many had been admitted when it was tried, and what it is made of. Most are passed over by
        #: nobody: what they claim is worked out where they may be.
        self._short: dict[str, tuple[int, Demand, str, int, float]] = {}
        #: Those who had room that is reserved for another one.
        self._after: set[str] = set()
        self._rate_bits: dict[str, int] = {}

    def admitted(self, demand: Demand, turn: ClassTurn, head: Head) -> None:
        self._taken.append(Tried(self.bits(demand), turn.job_class.backlog, turn.level, head.since))

    def lacked(self, demand: Demand, turn: ClassTurn, head: Head) -> None:
        """In its turn it found no room, or no budget."""
        tried = (len(self._taken), demand, turn.job_class.backlog, turn.level, head.since)
        self._short[head.job_id] = tried

    def came_after(self, job_id: str) -> None:
        """At its turn there was room, and the room is reserved for a job that was passed over earlier. A job
        that was itself passed over keeps its own promise: room that is reserved for another job is none for
        it."""
        self._after.add(job_id)

    def bits(self, demand: Demand) -> int:
        """What it takes a part of: its lane's places, VRAM, what nodes have, disks, budgets, counters."""
        bits = demand.bits
        if bits is None:
            bits = _LANE_BIT[demand.lane] | (_VRAM if demand.vram_mib else 0) | (_DISK if demand.disk else 0)
            bits = demand.bits = bits | sum([bit for bit, n in zip(_OF_NODE, demand.steps, strict=True) if n])
        return bits | self._bits_by_name(demand) if demand.rates or demand.counts else bits

    def bit_of_kind(self, kind: str) -> int:
        return self._rate_bits.setdefault(f"kind {kind}", 1 << (_RATES + len(self._rate_bits)))

    def _bits_by_name(self, demand: Demand) -> int:
        """Of budgets and counters, which get theirs as they are met."""
        bits = 0
        for key in (*[key for key, _ in demand.rates], *[f":{name}" for name, _ in demand.counts]):
            bits |= self._rate_bits.setdefault(key, 1 << (_RATES + len(self._rate_bits)))
        return bits

    def since(self) -> dict[str, float]:
        """Since when it counts that a job which lacks room is passed over: later than now where much work
        waits, for then a long wait is the normal state. To be asked after the last admission.

        What was said once comes sooner where the work is done sooner, and never later. Those who are passed
        over in one tick are served one after the other, in the order in which the rule tried them in that
        tick, and nobody gets before one who was passed over earlier: an order that changed later would break
        bounds that were stated, and an order by id would mean nothing.
        """
        told = {job_id for job_id in (*self._after, *self._short) if job_id in self._passed_over}
        new = self._newly_passed_over()
        found = {job_id: self._passed_over[job_id] for job_id in told}
        if not (new or found):
            return found
        counts_from = self._now + self._slack_s()
        sooner = sorted((at, job_id) for job_id, at in found.items() if at >= counts_from)
        for n, job_id in enumerate((*[job_id for _, job_id in sooner], *new)):
            found[job_id] = counts_from + n * APART_S
        return found

    def _newly_passed_over(self) -> list[str]:
        later = [0]
        for taken in reversed(self._taken):
            later.append(later[-1] | taken.bits)
        count, found = len(self._taken), list[str]()
        for job_id, (at, demand, backlog, level, since) in self._short.items():
            if at == count or job_id in self._passed_over:
                continue
            bits = self.bits(demand)
            if bits & later[count - at]:
                job = Tried(bits, backlog, level, since)
                if any(map(job.is_passed_over_by, self._taken[at:])):
                    found.append(job_id)
        return found


def bounds(
    since: Mapping[str, float],
    backfill: BackfillReservation | None,
    keep_after_s: float,
    longest_s: float | None,
    now: float,
) -> dict[str, Bound]:
    """The latest start of each, one after the other: a job gets its place when it has been passed over for
    long enough and the job before it has started; what runs at that moment ends within `longest_s`.

    A place that the order of a tick keeps for a job that is not due yet gives no bound: the next tick may
    order otherwise.
    """
    found: dict[str, Bound] = {}
    free_from = now
    for at, job_id in sorted((at, job_id) for job_id, at in since.items()):
        reserved_from, starts_by = max(at + keep_after_s, free_from), None
        if backfill is not None and backfill.job_id == job_id and now - at >= keep_after_s:
            reserved_from, starts_by = at + keep_after_s, backfill.starts_at if backfill.is_known else None
        elif longest_s is not None:
            starts_by = reserved_from + longest_s
        found[job_id] = Bound(reserved_from, starts_by)
        if starts_by is None:
            longest_s = None
        else:
            free_from = max(free_from, starts_by)
    return found


def longest_s(candidates: Sequence[Candidate], free: Free) -> float | None:
    """What runs is over after so long, as is whatever is started meanwhile; None where one gave no
    estimate.
    """
    durations = [c.job_class.duration_s for c in candidates]
    if any(duration_s <= 0 for duration_s in durations):
        return None
    most = max([*durations, free.reservations.longest_left_s()])
    return None if most == float("inf") else most


def short_rates(demand: Demand, free: Free) -> Iterable[str]:
    """The budgets that have less left than it needs, and could have more."""
    for key, need in demand.rates:
        budget = free.rates.get(key)
        if budget is None:
            continue
        state = budget.state
        for left, limit, amount in (
            (budget.requests_left, state.requests_limit, need.requests),
            (budget.tokens_left, state.tokens_limit, need.tokens),
        ):
            if (
                left is not None
                and limit is not None
                and left < amount
                and (amount <= limit or state.is_learned)
            ):
                yield key
