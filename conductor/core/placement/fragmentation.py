"""What a node could still give: the measure by which `core.packing` compares places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conductor.core.capacity.request import Demand


class JobShape(NamedTuple):
    """What one sort of job takes; `vram` per device."""

    cpu: int
    ram: int
    devices: int
    vram: int


def kind_of(demand: Demand) -> JobShape:
    kind: JobShape | None = demand.kind
    if kind is None:
        kind = demand.kind = JobShape(demand.cpu_milli, demand.ram_mib, demand.devices, demand.vram_mib)
    return kind


class Worth:
    """MiB that a node could still give, on average over the kinds, each filling it alone. Remembered by
    state.
    """

    def __init__(self, weights: Sequence[tuple[JobShape, float]]) -> None:
        self._kinds = [
            (k.cpu or 1, k.ram or 1, k.cpu, k.ram, weight * k.devices * k.vram) for k, weight in weights
        ]
        self._demands = [(k.vram, k.devices) for k, _ in weights]
        self._counts: dict[tuple[int, ...], list[int]] = {}
        self._known: dict[tuple[int, float, tuple[int, ...]], float] = {}

    def of(self, cpu: int, ram: float, vram: tuple[int, ...]) -> float:
        key = (cpu, ram, vram)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._sum(cpu, ram, vram)
        return known

    def _sum(self, cpu: int, ram: float, vram: tuple[int, ...]) -> float:
        counts = self._counts.get(vram)
        if counts is None:
            counts = self._counts[vram] = [
                _fitting(vram, amount, devices) for amount, devices in self._demands
            ]
        total = 0.0
        for count, (cpu_each, ram_each, needs_cpu, needs_ram, weight) in zip(
            counts, self._kinds, strict=True
        ):
            if count:
                if needs_cpu and count * cpu_each > cpu:
                    count = cpu // cpu_each
                if needs_ram and count * ram_each > ram:
                    count = int(ram // ram_each)
                total += count * weight
        return total


def _fitting(vram: tuple[int, ...], amount: int, devices: int) -> int:
    """How many requests of `devices` devices with `amount` each the devices hold."""
    if devices == 1:
        return sum([free // amount for free in vram])
    return sum([free >= amount for free in vram]) // devices
