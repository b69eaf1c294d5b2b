"""The gate ledger from tick to tick: since when each gate is closed, what it has cost, what is worth
recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from conductor.core.admission.admission import MOST_ADMITTED
from conductor.core.capacity.cluster import Free, Pool
from conductor.core.capacity.counters import CounterPool
from conductor.model.decision import Admission, Decision, Gate, GateLedger, Hold, Shared
from conductor.model.limits import Limits
from conductor.model.report import CounterReading
from conductor.model.snapshot import Candidate, RateState, Snapshot, cost_of

#: A gap between two ticks longer than this (a suspended laptop, no conductor) was lost to no gate.
LONGEST_GAP_S = 60.0

LostBy = dict[Gate, float]

_replace = msgspec.structs.replace


def closed_gates(hold: Hold) -> frozenset[Gate]:
    return frozenset([verdict.gate for verdict in hold.verdicts if not verdict.passed])


def carried(holds: Iterable[Hold], before: GateLedger, now: float) -> tuple[Hold, ...]:
    """What was closed at the tick before, and still is, keeps the moment it began; all of it counts until
    now.
    """
    step, known = _step(before, now), {hold.class_id: hold for hold in before.holds}
    # Classes that ask alike share one tuple of verdicts: looked through once.
    alike: dict[int, tuple[Gate, ...]] = {}
    found: list[Hold] = []
    for hold in holds:
        gates = alike.get(id(hold.verdicts))
        if gates is None:
            gates = alike[id(hold.verdicts)] = tuple(sorted(closed_gates(hold)))
        found.append(_carried(hold, gates, known.get(hold.class_id), step, now))
    return tuple(found)


def unreached(decision: Decision, before: GateLedger, candidates: Iterable[Candidate]) -> tuple[Hold, ...]:
    """Holds of the tick before, of classes whose turn did not come: this tick had admitted all that one
    may.
    """
    if len(decision.admit) < MOST_ADMITTED:
        return ()
    told = {hold.class_id for hold in decision.hold} | {a.reservation.class_id for a in decision.admit}
    waiting = {c.job_class.id for c in candidates} - told
    return tuple(hold for hold in before.holds if hold.class_id in waiting)


def with_since(holds: Sequence[Hold], before: Sequence[Hold]) -> tuple[Hold, ...]:
    """Of a moment looked at by itself (a recorded tick): only what began when, not what it cost."""
    return carried(holds, GateLedger(holds=tuple(before)), holds[0].since if holds else 0.0)


def _carried(hold: Hold, gates: tuple[Gate, ...], was: Hold | None, step: float, now: float) -> Hold:
    """`gates`: closed to it now, by name."""
    if was is None:
        return _replace(hold, closed_since=dict.fromkeys(gates, now))
    if hold.crowded_since is not None and was.crowded_since is not None:
        hold = _replace(hold, crowded_since=was.crowded_since)
    began: dict[Gate, float] = was.closed_since or dict.fromkeys(closed_gates(was), was.since)
    lost_s = _more(was.lost_s, began, step)
    if gates == tuple(began):
        return _replace(hold, since=was.since, closed_since=began, lost_s=lost_s)
    since = was.since if set(gates) == began.keys() else hold.since
    return _replace(
        hold, since=since, closed_since={gate: began.get(gate, now) for gate in gates}, lost_s=lost_s
    )


def lost_by_backlog(before: GateLedger, now: float) -> dict[str, LostBy]:
    """What was held after the last tick stayed so until this one."""
    step, closed = _step(before, now), dict[str, dict[Gate, float]]()
    for hold in before.holds:
        closed.setdefault(hold.backlog, {}).update(hold.closed_since)
    lost = dict(before.lost_s)
    return lost | {backlog: _more(lost.get(backlog, {}), gates, step) for backlog, gates in closed.items()}


def _step(before: GateLedger, now: float) -> float:
    step = now - before.at if before.at else 0.0
    return step if 0 < step <= LONGEST_GAP_S else 0.0


def _more(lost: Mapping[Gate, float], closed: Iterable[Gate], step: float) -> LostBy:
    more = dict(lost)
    if step:
        for gate in closed:
            more[gate] = more.get(gate, 0.0) + step
    return more


def is_other_reason(holds: Sequence[Hold], before: Sequence[Hold]) -> bool:
    """Another class is held, or one by other gates, or for another first job: numbers that moved are no
    news.
    """
    return _reasons(holds) != _reasons(before)


def _reasons(holds: Sequence[Hold]) -> set[tuple[str, frozenset[Gate], bool, bool]]:
    # Carried holds have their closed gates by name already.
    return {
        (h.class_id, frozenset(h.closed_since) or closed_gates(h), h.is_infeasible, h.crowded_since is None)
        for h in holds
    }


# ── what there is, for who reads the record ───────────────────────────────────────────────────────────────


def shared_out(snapshot: Snapshot, admitted: Sequence[Admission], limits: Limits) -> tuple[Shared, ...]:
    """Every amount that is shared out, by the decision's own sums, with what the tick handed over."""
    going = (*snapshot.reservations, *(admission.reservation for admission in admitted))
    free = Free(msgspec.structs.replace(snapshot, reservations=going), limits)
    return shared_of(free)


def shared_of(free: Free) -> tuple[Shared, ...]:
    """The same of what a decision has left."""
    return tuple(_pools(free))


def _pools(free: Free) -> Iterator[Shared]:
    for node in free.nodes.values():
        for device in node.devices.values():
            yield _shared(f"{node.name}/{device.key}", "vram", "MiB", device.vram)
        for root, disk in node.disks.items():
            if disk.pool is not None:
                yield _shared(f"{node.name}/{root}", "scratch", "bytes", disk.pool)
        for row, pool in node.known:
            yield _shared(node.name, row.name, row.unit, pool, row.scale)
        yield from _counted(node.amounts, f"{node.name}/")
        for device in node.devices.values():
            yield from _counted(device.amounts, f"{node.name}/{device.key}/")
    yield from _counted(free.amounts, "")


def _counted(pools: Mapping[str, Pool | None], place: str) -> Iterator[Shared]:
    """Of what users count by name; its unit is empty."""
    for name, pool in pools.items():
        if isinstance(pool, CounterPool):
            yield _shared(f"{place}{name}", "counter", "", pool)


def _shared(where: str, gate: Gate, unit: str, pool: Pool, scale: int = 1) -> Shared:
    return Shared(
        where=where,
        gate=gate,
        unit=unit,
        limit=pool.limit / scale,
        reserved=pool.reserved / scale,
        others=pool.foreign / scale,
        free=max(0, pool.free) / scale,
    )


def rates_left(rates: Iterable[RateState], admitted: Iterable[Admission]) -> tuple[RateState, ...]:
    """The budgets, less what the tick handed over."""
    left = {state.key: state for state in rates}
    for admission in admitted:
        for key, (requests, tokens) in admission.rates.items():
            if key in left:
                left[key] = _less(left[key], requests, tokens)
    return tuple(left.values())


def readings_of(snapshot: Snapshot) -> dict[str, CounterReading]:
    """What the commands of counters said, each with its age at the tick."""
    found = dict(snapshot.counters)
    for node in snapshot.nodes:
        for name, reading in node.counters.items():
            age_s = reading.age_s + max(0.0, snapshot.now - node.sent_at)
            found[f"{node.node}/{name}"] = msgspec.structs.replace(reading, age_s=age_s)
    return found


def _less(state: RateState, requests: int, tokens: int) -> RateState:
    usd = cost_of(state.usd_per_token, state.usd_per_call, requests, tokens)
    return msgspec.structs.replace(
        state,
        requests_left=None if state.requests_left is None else max(0, state.requests_left - requests),
        tokens_left=None if state.tokens_left is None else max(0, state.tokens_left - tokens),
        usd_left=None if state.usd_left is None else max(0.0, state.usd_left - usd),
    )
