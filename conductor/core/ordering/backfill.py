"""A place that is kept free for a job that was passed over for too long: other jobs may use it only where
they do not delay that job.

The place is the node on which the job could start soonest, by the estimates of what runs there. A job that
ends before that moment may use the place, and so may a job that fits beside it then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest

from conductor.core.capacity.cluster import DeviceFree, Free, NodeFree, Pool, held
from conductor.core.capacity.in_flight import INFINITY, release_at
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Amounts
from conductor.core.placement.place import Place, asks_vram
from conductor.model.decision import Verdict
from conductor.model.reason import PLACE_RESERVED, Reason

#: So many nodes are looked at, those with most to give.
MOST_NODES = 32
#: So many answers are remembered.
MOST_FOUND = 20_000


class BackfillReservation:
    """What is kept for `demand` on one node: from when, and what is left beside it then."""

    __slots__ = ("beside", "devices", "is_known", "job_id", "node", "starts_at")

    def __init__(
        self,
        job_id: str,
        node: NodeFree,
        devices: tuple[DeviceFree, ...],
        starts_at: float,
        beside: dict[Pool, int],
        is_known: bool,
    ) -> None:
        self.job_id = job_id
        self.node = node
        self.devices = devices
        self.starts_at = starts_at
        #: False: what runs there gave no estimates, and `starts_at` is now, so that nothing counts as ending
        #: before.
        self.is_known = is_known
        self.beside = beside

    @property
    def rank(self) -> tuple[bool, float, float]:
        """The soonest; where nobody can say, that which lacks the smallest part."""
        if self.is_known:
            return (False, self.starts_at, 0.0)
        lack = max((-left / pool.limit for pool, left in self.beside.items() if pool.limit), default=0.0)
        return (True, 0.0, max(0.0, lack))

    def lets(self, place: Place, demand: Demand, duration_s: float, now: float) -> bool:
        """May this one go there: it is elsewhere, ends in time, or fits beside."""
        if place.node is not self.node or (duration_s > 0 and now + duration_s <= self.starts_at):
            return True
        return all(
            self.beside.get(pool, 0) >= amount for pool, amount in taken(place.node, place.devices, demand)
        )

    def took(self, place: Place, demand: Demand, duration_s: float, now: float) -> None:
        if place.node is self.node and not (duration_s > 0 and now + duration_s <= self.starts_at):
            for pool, amount in taken(place.node, place.devices, demand):
                self.beside[pool] = self.beside.get(pool, 0) - amount

    @property
    def where(self) -> str:
        """«node1/gpu0»."""
        return "/".join((self.node.name, "+".join(device.key for device in self.devices))).rstrip("/")

    def verdict(self) -> Verdict:
        return Verdict(
            gate="hold",
            passed=False,
            reason=PLACE_RESERVED,
            where=self.where,
            holders=(self.job_id,),
            reopens_at=self.starts_at if self.is_known else None,
        )


def reserve_for(job_id: str, demand: Demand, free: Free) -> BackfillReservation | None:
    """The place where it could start soonest; None where it could start nowhere, however long one waits."""
    best: BackfillReservation | None = None
    for node in _likely(demand, free):
        backfill = _known_on(job_id, demand, node, free)
        if backfill is not None and (best is None or backfill.rank < best.rank):
            best = backfill
    if best is None:
        return None
    # Its own, since what others take beside it is taken from it.
    return BackfillReservation(
        job_id, best.node, best.devices, best.starts_at, dict(best.beside), best.is_known
    )


def _known_on(job_id: str, demand: Demand, node: NodeFree, free: Free) -> BackfillReservation | None:
    """As `_on`; the same as before while nothing changed on the node and nothing there should have ended."""
    key = (node.name, demand.key)
    known = free.found.get(key)
    if known is not None and known[0] == node.version and free.now < known[1]:
        return known[2]
    backfill, here = _on(job_id, demand, node, free), free.reservations.by_end(node.name)
    is_lasting = backfill is None or (backfill.is_known and backfill.starts_at > free.now)
    if is_lasting and all(r.started_at is not None for r in here):
        if len(free.found) >= MOST_FOUND:
            free.found.clear()
        free.found[key] = (node.version, release_at(here[0], free.now) if here else INFINITY, backfill)
    return backfill


def _likely(demand: Demand, free: Free) -> Iterable[NodeFree]:
    able = [
        node
        for node in free.nodes.values()
        if any(queue.is_open for queue in node.queues.get(demand.lane, ()))
    ]
    if demand.node is not None:
        able = [node for node in able if node.name == demand.node]
    if len(able) <= MOST_NODES:
        return able
    return nlargest(MOST_NODES, able, key=lambda node: (node.vram_free_mib, node.tie_break.free))


def _on(job_id: str, demand: Demand, node: NodeFree, free: Free) -> BackfillReservation | None:
    """What runs there ends one after the other, until the request fits."""
    left = {pool: pool.free for pool in node.pools()}
    at = free.now
    devices = _devices(demand, node, left)
    if devices is None:
        for reservation in free.reservations.by_end(node.name):
            at = release_at(reservation, free.now)
            for pool, amount in held(node, reservation):
                left[pool] += amount
            if at != INFINITY and (devices := _devices(demand, node, left)) is not None:
                break
        else:
            return _unknown(job_id, demand, node, left, free.now)
    for pool, amount in taken(node, devices or (), demand):
        left[pool] -= amount
    return BackfillReservation(job_id, node, devices or (), at, left, True)


def _unknown(
    job_id: str, demand: Demand, node: NodeFree, at_last: dict[Pool, int], now: float
) -> BackfillReservation | None:
    """It fits once all has ended, and nobody can say when that is. The devices with most free now are waited
    for: what is kept is not taken again, so the choice stays the same from tick to tick."""
    able = [d for d in node.devices_for(demand) if d.why_not is None and _has(d, demand, at_last)]
    able.sort(key=lambda device: (-device.vram.free, device.index))
    chosen = {device.vram for device in able[: demand.devices]}
    others = {d.vram for d in node.devices.values()} - chosen
    devices = _devices(demand, node, at_last | dict.fromkeys(others, 0))
    if devices is None:
        return None
    left = {pool: pool.free for pool in node.pools()}
    for pool, amount in taken(node, devices, demand):
        left[pool] -= amount
    return BackfillReservation(job_id, node, devices, now, left, False)


def _devices(demand: Demand, node: NodeFree, left: dict[Pool, int]) -> tuple[DeviceFree, ...] | None:
    """The devices it would take, () where it asks none; None while it does not fit."""
    devices: tuple[DeviceFree, ...] = ()
    if any(asks_vram(queue, demand) for queue in node.queues.get(demand.lane, ())):
        fitting = [d for d in node.devices_for(demand) if d.why_not is None and _has(d, demand, left)]
        if len(fitting) < demand.devices:
            return None
        devices = tuple(sorted(fitting, key=lambda d: (left[d.vram], d.index))[: demand.devices])
    return devices if all(left[pool] >= amount for pool, amount in taken(node, devices, demand)) else None


def _has(device: DeviceFree, demand: Demand, left: Mapping[Pool, int]) -> bool:
    return all(
        pool is not None and left[pool] >= amount for pool, amount in _of(device.amounts, demand.of_device)
    )


def _of(pools: Mapping[str, Pool | None], amounts: Amounts) -> Iterable[tuple[Pool | None, int]]:
    return ((pools[name], amount) for name, amount in amounts)


def taken(node: NodeFree, devices: Iterable[DeviceFree], demand: Demand) -> list[tuple[Pool, int]]:
    """(pool, amount) of all that one attempt takes there."""
    places = [(device.amounts, demand.of_device) for device in devices] + [(node.amounts, demand.of_node)]
    pools = [(pool, amount) for had, asked in places for pool, amount in _of(had, asked) if pool is not None]
    by_pool: dict[Pool, int] = {}
    for root, size in demand.disk:
        disk = node.disks.get(root)
        if size and disk is not None and disk.pool is not None:
            by_pool[disk.pool] = by_pool.get(disk.pool, 0) + size
    return [*pools, *by_pool.items()]


def reserved_budget(key: str, job_id: str) -> Verdict:
    """To those that it is kept from: what is left of an API's budget, or of a counter."""
    return Verdict(gate="hold", passed=False, reason=Reason.BUDGET_RESERVED, where=key, holders=(job_id,))
