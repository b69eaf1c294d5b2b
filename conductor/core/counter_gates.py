"""The gates of what users count by name: how many are held, by whom, and when enough should be given back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from conductor.core.ask import Ask
from conductor.core.counters import CounterPool
from conductor.core.free import Free, NodeFree
from conductor.core.places import usable_devices
from conductor.core.reservations import EVERYWHERE, Holding
from conductor.core.resources import Pool, charge_key
from conductor.model.decision import Verdict
from conductor.model.snapshot import Reservation


def counter(ask: Ask, free: Free) -> list[Verdict]:
    """Is there enough of what is counted over the whole cluster."""
    verdicts: list[Verdict] = []
    for name, need in ask.of_cluster:
        key = charge_key(name, "")
        holding = free.reservations.holding(EVERYWHERE, key, _held_as(key))
        verdicts.append(_verdict(name, name, free.amounts.get(name), need, holding))
    return verdicts


def node_counter(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Of what is counted by the node, and by each of the devices that it could use here."""
    places = [(node.name, node.amounts, ask.of_node)]
    places += [(f"{node.name}/{d.key}", d.amounts, ask.of_device) for d in usable_devices(ask, node)]
    names, verdicts = dict(ask.counts), list[Verdict]()
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
        message = f"there is no [counters.{name}] in conductor.toml"
        return Verdict(gate="counter", passed=False, where=where, need=need, is_never=True, message=message)
    passed, is_never = pool.free >= need, need > pool.limit
    is_unknown = passed or is_never or pool.shut
    return Verdict(
        gate="counter",
        passed=passed,
        where=where,
        need=need,
        have=max(0, pool.free),
        limit=pool.limit,
        others=0 if pool.shut else pool.foreign,
        holders=() if passed else holding.ids,
        reopens_at=None if is_unknown else holding.enough_at(need - pool.free),
        is_never=is_never,
        message=pool.shut,
    )
