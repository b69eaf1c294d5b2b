"""Demand: what one attempt of a class takes, in the units of the decision, read once a tick."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from operator import ge
from typing import Any

from conductor.core.capacity.counters import Rules, asked, counts_of
from conductor.core.capacity.resources import VRAM, Amounts, Steps, asked_of_node, steps_of
from conductor.model.snapshot import JobClass
from conductor.model.spec import Lane, RateNeed

SCRATCH_ROOT = "scratch"
NO_RULES: Rules = {}


def disk_needs(job_class: JobClass) -> dict[str, int]:
    """Root → bytes: what the outputs will take, and the attempt's own temporary files on `scratch`."""
    disk = dict(job_class.writes)
    if job_class.needs.scratch_bytes:
        disk[SCRATCH_ROOT] = disk.get(SCRATCH_ROOT, 0) + job_class.needs.scratch_bytes
    return disk


class Demand:
    """Amounts of one attempt. Two classes with equal `key` get the same answer at the same free state."""

    __slots__ = (
        "bits",
        "counts",
        "cpu_milli",
        "devices",
        "disk",
        "has_begun",
        "is_pinned",
        "key",
        "kind",
        "lane",
        "node",
        "of_cluster",
        "of_device",
        "of_node",
        "questions",
        "ram_mib",
        "rates",
        "steps",
        "vram_mib",
        "warm",
        "where",
    )

    def __init__(self, job_class: JobClass, node: str | None = None, counters: Rules = NO_RULES) -> None:
        needs = job_class.needs
        #: Where its chain's files are, or where it asks to be: it can run nowhere else.
        self.node = needs.node or node
        #: It asks to be there itself.
        self.is_pinned = bool(needs.node)
        #: Its chain goes on: a disk that is closed takes it all the same, for it is such chains that give the
        #: room back.
        self.has_begun = node is not None and self.node == node
        self.lane: Lane = job_class.lane
        #: Per device; `devices` of them, all on one node.
        self.vram_mib: int = needs.vram_mib
        self.devices: int = needs.devices if needs.vram_mib else 0
        #: Of each resource of its node (`resources.NODE`), and the two that every place is asked for.
        self.steps: Steps = steps_of(needs)
        self.ram_mib: int = needs.ram_mib
        #: Where it would rather be; not part of `key`, since it fits as well elsewhere.
        self.warm: str = job_class.warm
        self.cpu_milli: int = round(needs.cpu * 1000)
        #: All that it takes of its node, and of each of its devices.
        self.of_node: Amounts = asked_of_node(self.steps)
        self.of_device: Amounts = ((VRAM, self.vram_mib),) if self.vram_mib else ()
        #: Of what users count by name: those of the whole cluster. The others are among what it takes of its
        #: place.
        self.of_cluster: Amounts = ()
        #: All of these.
        self.counts: Amounts = ()
        if needs.counters or counters:
            self._count(counts_of(job_class, counters), counters)
        self.disk: tuple[tuple[str, int], ...] = ()
        if job_class.writes or needs.scratch_bytes:
            self.disk = tuple(sorted(disk_needs(job_class).items()))
        #: Those that agree in it look at the same places: all that is asked and is no amount stands here.
        self.where: Hashable = (self.lane, self.node, self.is_pinned, self.devices, self.has_begun)
        self.rates: tuple[tuple[str, RateNeed], ...] = ()
        if needs.rates:
            self.rates = tuple(sorted(needs.rates.items(), key=lambda item: item[0]))
        #: What the gates are asked of it (`core.admission.refusals`), once they were.
        self.questions: list[Any] | None = None
        #: Its shape (`core.placement.fragmentation`), and the kinds of resources that it takes as bits
        #: (`core.ordering.starvation`); None until they are asked for.
        self.kind: Any = None
        self.bits: int | None = None
        self.key: Hashable = (
            self.where,
            self.of_node,
            self.of_device,
            self.of_cluster,
            self.disk,
            tuple([(key, need.requests, need.tokens) for key, need in self.rates]),
        )

    def _count(self, counts: Mapping[str, int], rules: Rules) -> None:
        self.of_cluster = asked(counts, rules, "cluster")
        of_node, of_device = asked(counts, rules, "node"), asked(counts, rules, "device")
        self.of_node = (*self.of_node, *of_node)
        if not self.of_device:
            of_device = ()
        self.of_device = (*self.of_device, *of_device)
        self.counts = (*self.of_cluster, *of_node, *of_device)

    def amount(self, name: str) -> int:
        """Of one resource of its node."""
        for of, amount in self.of_node:
            if of == name:
                return amount
        return 0

    def demands_as_much(self, other: Demand) -> bool:
        """At least as much of everything, of the same places (`where`). `other` asks for nothing that is
        counted by name."""
        return (
            self.vram_mib >= other.vram_mib
            and all(map(ge, self.steps, other.steps))
            and (not other.disk or self._fills_as_much(other.disk))
        )

    def _fills_as_much(self, disk: Sequence[tuple[str, int]]) -> bool:
        """Of each root: a disk that is not there refuses what puts nothing on it too."""
        mine = dict(self.disk)
        return all(root in mine and mine[root] >= size for root, size in disk)
