"""What attempts share out, as one table: what a request needs of a resource, what a node has, what a
reservation holds.

A row is a resource of a node (`NODE`); gates, charges, places, successors, backfill and dispatch loop over
it, and so do rehearsed orders and the worth of places. Video memory is of each device, files are of each root
(`conductor.core.capacity.node`), budgets of APIs come back with time (`conductor.core.rates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.report import UNKNOWN, NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs, ResourceName


class Pool:
    """One amount that is shared out: a device's VRAM, a node's RAM or cores, a disk."""

    __slots__ = ("beyond", "foreign", "free", "limit", "reserved", "taken", "used")

    def __init__(self, limit: int, used: int | None) -> None:
        self.limit = limit
        #: Used by anyone, as measured; None where it cannot be read.
        self.used = used
        self.reserved = 0
        #: What the reservations are known to use of it already.
        self.taken = 0
        #: What they use beyond what was reserved, and what came since it was measured.
        self.beyond = 0
        self.foreign = 0
        self.free = limit

    def settle(self) -> None:
        """After the last reservation was added: what others use, and what is left."""
        # What ours hold beyond their word may be told where the whole is not.
        self.foreign = self.beyond + (0 if self.used is None else max(0, self.used - self.taken))
        self.free = self.limit - self.reserved - self.foreign

    def take(self, amount: int) -> None:
        self.reserved += amount
        self.free -= amount

    def fill(self, amount: int) -> None:
        """Taken by what no reservation holds: files that stay. Negative: they went."""
        self.foreign += amount
        self.free -= amount

    def left_by_others(self) -> int:
        """What it can give in the end. While something of ours holds it, the rest may be given back by
        then.
        """
        return self.limit if self.reserved else self.limit - self.foreign

    @property
    def ceiling(self) -> int:
        """What the sum of reservations may reach here: re-checked in the step that hands over."""
        return self.reserved + max(0, self.free)


class Resource(NamedTuple):
    """One resource of a node, counted in whole steps of `unit` ÷ `scale`."""

    #: Also the word of its gate, and of its reading in a report.
    name: ResourceName
    #: The end of its charge keys: «node1:ram_mib».
    charge: str
    unit: str
    #: «memory», and «MiB of memory» behind a number of units, for who reads it.
    plain: str
    words: str
    scale: int
    #: What one attempt asks, and what it is measured to use already.
    need: Callable[[Needs], int]
    used: Callable[[Usage], int]
    #: Of a node's report: what can be given out (None: not known), and units of it in all.
    pool: Callable[[NodeReport, Limits], Pool | None]
    total: Callable[[NodeReport], float | None]
    #: What an attempt holds by its reservation. None: it stands there by charge key (`Reservation.held`).
    own_field: Callable[[Reservation], int] | None = None
    #: Free steps that came or went are told at once, and not with the next report, beyond so many.
    is_news: int = 1 << 60

    def held(self, r: Reservation) -> int:
        if self.own_field is None:
            return r.held.get(f"{r.node}:{self.charge}", 0)
        return self.own_field(r)


def measured_pool(name: ResourceName, headroom: Callable[[Limits], int]) -> Callable[..., Pool | None]:
    """What the host measures: all of it less the headroom, and what anyone uses."""

    def pool(report: NodeReport, limits: Limits) -> Pool | None:
        read = report.measured.get(name, UNKNOWN)
        total = read.free if read.total is None else read.total
        if total is None:
            return None
        used = None if read.free is None else max(0, total - read.free)
        return Pool(max(0, total - headroom(limits)), used)

    return pool


def measured_total(name: ResourceName) -> Callable[[NodeReport], float | None]:
    return lambda report: report.measured.get(name, UNKNOWN).total


def _rss_mib(usage: Usage) -> int:
    return usage.rss_mib or 0


def _milli_asked(needs: Needs) -> int:
    return round(needs.cpu * 1000)


def _milli_held(r: Reservation) -> int:
    return round(r.cpu * 1000)


def _nothing(usage: Usage) -> int:
    return 0


def _cpu_pool(report: NodeReport, limits: Limits) -> Pool:
    return Pool(round(report.cpu_count * limits.cpu_share * 1000), None)


RAM = Resource(
    name="ram",
    charge="ram_mib",
    unit="MiB",
    plain="memory",
    words="MiB of memory",
    scale=1,
    need=attrgetter("ram_mib"),
    used=_rss_mib,
    pool=measured_pool("ram", attrgetter("ram_headroom_mib")),
    total=measured_total("ram"),
    own_field=attrgetter("ram_mib"),
    is_news=1024,
)
CPU = Resource(
    name="cpu",
    charge="cpu_milli",
    unit="cores",
    plain="cores",
    words="cores",
    scale=1000,
    need=_milli_asked,
    used=_nothing,
    pool=_cpu_pool,
    total=attrgetter("cpu_count"),
    own_field=_milli_held,
)
NODE: tuple[Resource, ...] = (RAM, CPU)
#: Of places that are equal otherwise the one with the fewest free cores is taken.
TIE_BREAK = NODE.index(CPU)

VRAM = "vram"
#: Those that a reservation has a field for; of all others it says what it holds by charge key
#: (`Reservation.held`).
FIELDS = frozenset({VRAM, *[row.name for row in NODE if row.own_field is not None]})
#: Resource → the end of its charge keys, where that is not its name.
_CHARGES = {VRAM: "vram_mib", **{row.name: row.charge for row in NODE}}

#: By themselves, for who asks them of every class and of every reservation.
_NEEDS = [row.need for row in NODE]
_NAMES = [str(row.name) for row in NODE]
_HELD = [(str(row.name), row.own_field or row.held) for row in NODE]
_HELD_STEPS = [held for _, held in _HELD]

#: (resource, steps) of what a request asks, none of them zero.
Amounts = tuple[tuple[str, int], ...]
#: Steps of each row of `NODE`, in their order.
Steps = tuple[int, ...]


def charge_key(name: str, place: str) -> str:
    """Under which the ledger keeps the sum: «node1:ram_mib», «node1/gpu0:vram_mib»."""
    return f"{place}:{_CHARGES.get(name, name)}"


def steps_of(needs: Needs) -> Steps:
    return tuple([need(needs) for need in _NEEDS])


def steps_by_name(amounts: Mapping[str, int]) -> Steps:
    return tuple([amounts.get(name, 0) for name in _NAMES])


def asked_of_node(steps: Steps) -> Amounts:
    return tuple([(name, amount) for name, amount in zip(_NAMES, steps, strict=True) if amount])


def asked_in_all(needs: Needs) -> Steps:
    """VRAM over all devices, then each row of `NODE`: in the order of `Free.whole`."""
    return (needs.vram_mib * needs.devices, *steps_of(needs))


def held_in_all(r: Reservation) -> Steps:
    """The same of what an attempt holds."""
    return (r.vram_mib * len(r.devices), *steps_held(r))


def steps_held(r: Reservation) -> Steps:
    return tuple([held(r) for held in _HELD_STEPS])


def held_of_node(r: Reservation) -> Iterable[tuple[str, int]]:
    """(resource, steps) of its node, none of them zero."""
    for name, held in _HELD:
        if amount := held(r):
            yield name, amount


def fits(pools: Mapping[str, Pool | None], amounts: Amounts) -> bool:
    """Is so much of each left; what is not known, or not there, is not left."""
    for name, amount in amounts:
        pool = pools.get(name)
        if pool is None or pool.free < amount:
            return False
    return True


def could_fit(pools: Mapping[str, Pool | None], amounts: Amounts) -> bool:
    """Would it fit if nothing were held. What is not known may be enough; what is not there never is."""
    for name, amount in amounts:
        if name not in pools or ((pool := pools[name]) is not None and amount > pool.limit):
            return False
    return True
