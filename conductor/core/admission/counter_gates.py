"""The gates of what users count by name: how many are held, by whom, and when enough should be given back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from conductor.core.capacity.cluster import Free, NodeFree
from conductor.core.capacity.counters import CounterPool
from conductor.core.capacity.in_flight import EVERYWHERE, Holding
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Pool, charge_key
from conductor.core.placement.place import usable_devices
from conductor.model.decision import Verdict
from conductor.model.reason import NO_DETAIL, Detail, Reason
from conductor.model.snapshot import Reservation


def counter(demand: Demand, free: Free) -> list[Verdict]:
    """Is there enough of what is counted over the whole cluster."""
    verdicts: list[Verdict] = []
    for name, need in demand.of_cluster:
        key = charge_key(name, "")
        holding = free.reservations.holding(EVERYWHERE, key, _held_as(key))
        verdicts.append(_verdict(name, name, free.amounts.get(name), need, holding))
    return verdicts


def node_counter(demand: Demand, node: NodeFree, free: Free) -> list[Verdict]:
    """Of what is counted by the node, and by each of the devices that it could use here."""
    places = [(node.name, node.amounts, demand.of_node)]
    places += [(f"{node.name}/{d.key}", d.amounts, demand.of_device) for d in usable_devices(demand, node)]
    names, verdicts = dict(demand.counts), list[Verdict]()
    for place, pools, amounts in places:
        for name, need in amounts:
            if name in names:
                key = charge_key(name, place)
                holding = free.reservations.holding(node.name, key, _held_as(key))
                verdicts.append(_verdict(name, f"{place}/{name}", pools.get(name), need, holding))
    return verdicts


@cache
def _held_as(key: str) -> Callable[[Reservation], int]:
    return lambda r: r.held.get(key, 0)


def _verdict(name: str, where: str, pool: Pool | None, need: int, holding: Holding) -> Verdict:
    """`where`: «nuke», «node1/nuke», «node1/gpu0/nuke»."""
    if not isinstance(pool, CounterPool):
        return Verdict(gate="counter", passed=False, reason=Reason.COUNTER_UNDECLARED, where=where, need=need)
    passed = pool.free >= need
    reason, detail = Reason.OPEN, NO_DETAIL
    if not passed and need > pool.limit:
        reason = Reason.COUNTER_TOO_SMALL
    elif not passed and pool.is_closed:
        reason, detail = pool.why_closed()
    elif not passed:
        reason, detail = Reason.COUNTER_TAKEN, Detail(others=pool.foreign) if pool.foreign else NO_DETAIL
    return Verdict(
        gate="counter",
        passed=passed,
        reason=reason,
        where=where,
        need=need,
        have=max(0, pool.free),
        limit=pool.limit,
        holders=() if passed else holding.ids,
        reopens_at=holding.enough_at(need - pool.free) if reason is Reason.COUNTER_TAKEN else None,
        detail=detail,
    )
