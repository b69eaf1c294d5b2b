"""Which jobs were passed over: jobs that come after them started while they lacked room. And the latest time
at which each will start.

A job that was passed over for long enough gets a backfill reservation
(`conductor/core/ordering/backfill.py`); waiting in a long line gives no such right. The promise holds against
everybody, higher priorities included. The promises are kept one after the other, in the order in which the
jobs were first passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from conductor.core.capacity.cluster import Free
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import NODE
from conductor.core.ordering.backfill import BackfillReservation
from conductor.model.snapshot import Candidate
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


class Starvation:
    """Fed by the tick: who found no room, and who was started after that."""

    def __init__(self, passed_over: Mapping[str, float], now: float) -> None:
        self._passed_over = passed_over
        self._now = now
        #: What each admission took a part of, as bits.
        self._taken: list[int] = []
        self._short: dict[str, tuple[int, int]] = {}
        #: Those who had room that is reserved for another one.
        self._after: set[str] = set()
        self._rate_bits: dict[str, int] = {}

    def admitted(self, demand: Demand) -> None:
        self._taken.append(self.bits(demand))

    def lacked(self, job_id: str, demand: Demand) -> None:
        """In its turn it found no room, or no budget."""
        self._short[job_id] = (len(self._taken), self.bits(demand))

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
        """Since when each job that lacks room has been passed over. To be asked after the last admission.

        Of a batch all jobs are passed over in the first tick. They are served one after the other, in the
        order in which the rule tried them in that tick: an order that changed later would break bounds that
        were stated, and an order by id would mean nothing.
        """
        later = [0]
        for bits in reversed(self._taken):
            later.append(later[-1] | bits)
        count = len(self._taken)
        found = {job_id: self._passed_over[job_id] for job_id in self._after if job_id in self._passed_over}
        new = 0
        for job_id, (at, bits) in self._short.items():
            if (known := self._passed_over.get(job_id)) is not None:
                found[job_id] = known
            elif bits & later[count - at]:
                found[job_id] = self._now + new * APART_S
                new += 1
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
