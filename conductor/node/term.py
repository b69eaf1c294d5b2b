"""A node that ends at a known time, and has a part of its host only: what a pilot is.

Three moments: until `ends_in_s` is over it takes what will be done by then; then it drains; what runs on
beyond that is stopped and goes back to the backlog, while there is still time for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.host.host_probe import HostFacts
from conductor.model.report import Measure

#: So long before its end a node takes nothing more, or a fifth of its time if that is less; half of that is
#: for what is not over then, the other half for giving back and going.
LAST_S = 60.0


class Term(Struct, frozen=True, kw_only=True):
    """`until`: by this host's monotonic clock, which no change of the date moves."""

    until: float
    last_s: float
    #: Its name at the engine; empty: no engine started it.
    pilot: str = ""
    #: Its part of the host; None: all of it.
    cpus: float | None = None
    ram_mib: int | None = None
    clock: Callable[[], float] = time.monotonic

    @property
    def ends_in_s(self) -> float:
        """What is placed here has to be over within so long."""
        return max(0.0, self.until - self.last_s - self.clock())

    @property
    def is_due(self) -> bool:
        return self.ends_in_s == 0.0

    def drain_within(self, given_s: float | None) -> float:
        """What is in hand has so long once it drains, whoever told it to: an engine kills soon after."""
        return self.last_s / 2 if given_s is None else min(given_s, self.last_s / 2)

    def part_of(self, host: HostFacts) -> HostFacts:
        cpus = host.cpu_count if self.cpus is None else min(host.cpu_count, self.cpus)
        measured = dict(host.measured)
        if self.ram_mib is not None and "ram" in measured:
            measured["ram"] = _least(measured["ram"], self.ram_mib)
        return replace(host, cpu_count=cpus, measured=measured)


def term_of(
    seconds: float,
    pilot: str = "",
    cpus: float | None = None,
    ram_mib: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Term:
    return Term(
        until=clock() + seconds,
        last_s=min(LAST_S, seconds / 5),
        pilot=pilot,
        cpus=cpus,
        ram_mib=ram_mib,
        clock=clock,
    )


def _least(measure: Measure, most: int) -> Measure:
    """Of what the host has no more than its part. What others use of the host is not used of that part, as
    long as the host has so much left.
    """
    total = most if measure.total is None else min(measure.total, most)
    free = None if measure.free is None else min(measure.free, total)
    return replace(measure, total=total, free=free)
