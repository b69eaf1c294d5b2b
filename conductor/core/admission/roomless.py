"""What found no room in this tick: a request that asks for as much of the same places finds none either."""

from __future__ import annotations

from collections.abc import Hashable

from conductor.core.capacity.request import Demand

#: So many of one lane and node are compared with each request; more would cost what they save.
MOST = 12


class Roomless:
    """Of one tick, in which what is free only shrinks. Kept are those that ask for least: of two of which one
    asks for as much of everything as the other, the other.
    """

    __slots__ = ("_least",)

    def __init__(self) -> None:
        self._least: dict[Hashable, list[Demand]] = {}

    def has_none_for(self, demand: Demand) -> bool:
        least = self._least.get(demand.where)
        return least is not None and any(map(demand.demands_as_much, least))

    def add(self, demand: Demand) -> None:
        """It found no place that fits, so that nobody was asked whether it may have one. What is counted by
        name is no part of the comparison."""
        if demand.counts:
            return
        least = [small for small in self._least.get(demand.where, ()) if not small.demands_as_much(demand)]
        self._least[demand.where] = [*least[1 - MOST :], demand]
