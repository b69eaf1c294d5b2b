"""What a node could still give: the measure by which `core.placement.packing` compares places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import Steps


class JobShape(NamedTuple):
    """What one sort of job takes: `own` of each row of `resources.NODE`, `vram` of each device."""

    own: Steps
    devices: int
    vram: int


def kind_of(demand: Demand) -> JobShape:
    kind: JobShape | None = demand.kind
    if kind is None:
        kind = demand.kind = JobShape(demand.steps, demand.devices, demand.vram_mib)
    return kind


class Worth:
    """MiB that a node could still give, on average over the kinds, each filling it alone. Remembered by
    state.
    """

    def __init__(self, weights: Sequence[tuple[JobShape, float]]) -> None:
        self._kinds = [
            ([(at, need) for at, need in enumerate(k.own) if need], weight * k.devices * k.vram)
            for k, weight in weights
        ]
        self._demands = [(k.vram, k.devices) for k, _ in weights]
        self._counts: dict[tuple[int, ...], list[int]] = {}
        self._known: dict[tuple[tuple[float, ...], tuple[int, ...]], float] = {}

    def of(self, own: tuple[float, ...], vram: tuple[int, ...]) -> float:
        key = (own, vram)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._sum(own, vram)
        return known

    def _sum(self, own: tuple[float, ...], vram: tuple[int, ...]) -> float:
        counts = self._counts.get(vram)
        if counts is None:
            counts = self._counts[vram] = [
                _fitting(vram, amount, devices) for amount, devices in self._demands
            ]
        total = 0.0
        for count, (needs, weight) in zip(counts, self._kinds, strict=True):
            if count:
                for at, each in needs:
                    if count * each > own[at]:
                        count = int(own[at] // each)
                total += count * weight
        return total


def _fitting(vram: tuple[int, ...], amount: int, devices: int) -> int:
    """How many requests of `devices` devices with `amount` each the devices hold."""
    if devices == 1:
        return sum([free // amount for free in vram])
    return sum([free >= amount for free in vram]) // devices
