"""Which kinds of jobs are usual here, and how much each counts: what `core.placement.packing` goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from conductor.core.capacity.resources import asked_of_node, steps_by_name
from conductor.core.placement.fragmentation import JobShape
from conductor.model.snapshot import UsualKind

#: So many kinds of jobs are thought of, those that make up most.
MOST_KINDS = 48
#: A share of a device is easier to lose than a whole one: its kinds count so many times.
WEIGHT_OF_SHARES = 5.0
#: The kinds are looked at anew when so much more was seen than the last time.
GROWTH = 1.25

INFINITE = float("inf")


class Mix:
    """Which kinds of jobs are usual: what waits, what runs, and what was seen before."""

    def __init__(self) -> None:
        self._seen: Counter[JobShape] = Counter()
        self._total = 0.0
        self._next = 0.0
        self.weights: tuple[tuple[JobShape, float], ...] = ()
        #: Goes up whenever `weights` changes: what was worked out from the old ones is void.
        self.version = 0

    def begin(self) -> None:
        """Nothing was seen: the weights are what comes now, and count as others only where they are."""
        self._seen.clear()
        self._total = self._next = 0.0

    def saw(self, kind: JobShape, count: float = 1) -> None:
        if kind.vram:
            self._seen[kind] += count  # pyright: ignore[reportArgumentType]
            self._total += count

    def given(self, usual: Sequence[UsualKind]) -> None:
        """From a snapshot that says what is usual: nothing is added to it."""
        self._set(tuple((JobShape(steps_by_name(u.own), u.devices, u.vram_mib), u.weight) for u in usual))
        self._next = INFINITE

    def as_usual(self) -> tuple[UsualKind, ...]:
        """For a snapshot: what `given` takes."""
        return tuple(
            UsualKind(own=dict(asked_of_node(k.own)), devices=k.devices, vram_mib=k.vram, weight=weight)
            for k, weight in self.weights
        )

    def settle(self, largest: int) -> None:
        """Bring the weights up to date where enough is new. `largest`: MiB of the largest device."""
        if self._total < self._next:
            return
        if not self._total:
            self._set(())
            return
        self._next = self._total * GROWTH
        weighted = {
            kind: count
            / self._total
            * (WEIGHT_OF_SHARES if kind.devices == 1 and kind.vram < largest else 1.0)
            for kind, count in self._seen.items()
        }
        most = sorted(weighted.items(), key=lambda item: (-item[1], item[0]))[:MOST_KINDS]
        self._set(tuple(most))

    def _set(self, weights: tuple[tuple[JobShape, float], ...]) -> None:
        if weights != self.weights:
            self.weights = weights
            self.version += 1
