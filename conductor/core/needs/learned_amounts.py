"""What receipts teach about, as one table: each amount that an attempt is measured to take, and that has a
failure of its own when it runs out. Pure.

Estimates, drift, escalation and what is shown of them loop over its rows. The name of a row is a field of
`Needs` and of `Sample`; where `is_reserved`, of `Reservation` and `AdmittedNeeds` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Literal, NamedTuple

from conductor.base.text import size
from conductor.core.capacity.request import SCRATCH_ROOT
from conductor.model.causes import Cause
from conductor.model.limits import Limits
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.report import NodeReport
from conductor.model.spec import Needs

Resource = Literal["vram_mib", "ram_mib", "scratch_bytes"]

#: Resource → what one place of the reporting nodes has at most, less its headroom. Missing: nobody tells.
Largest = Mapping[Resource, int]

MIB = 1 << 20


class LearnedAmount(NamedTuple):
    name: Resource
    #: To a person: «asks 10.0 GiB of VRAM».
    words: str
    #: The failure that says it ran out.
    cause: Cause
    #: Bytes in one.
    unit: int
    peak: Callable[[Usage], int | None]
    #: One place that it is taken of, and what each such place has in all, less its headroom.
    place: str
    capacity: Callable[[NodeReport, Limits], Iterable[int]]
    #: Learned needs are rounded up to this.
    grain: int
    #: So little is not asked where less was declared: every worker's child has it.
    small: int
    #: Needs that a failure raised are rounded up to this: jobs with nearly the same peak share a class.
    raised_grain: int
    #: It is read once a second: the peak of a short attempt may have been missed.
    is_sampled: bool = False
    #: A reservation has a field for it, which is another than the need where that was learned.
    is_reserved: bool = True
    #: Its outputs are measured with it, and files of others lie beside them: a place that is full says little
    #: about the one that found it so.
    has_files: bool = False

    def declared(self, needs: Needs, writes_bytes: int) -> int:
        own: int = getattr(needs, self.name)
        return own + writes_bytes if self.has_files else own

    def reserved(self, asked: AdmittedNeeds) -> int:
        """What an attempt got, by its receipt."""
        own: int = getattr(asked.needs, self.name)
        given: int | None = getattr(asked, self.name) if self.is_reserved else None
        return own if given is None else given

    def shown(self, value: float) -> str:
        return size(value * self.unit)

    def rounded(self, value: float) -> int:
        return _up(value, self.grain)

    def rounded_raised(self, value: float) -> int:
        return _up(value, self.raised_grain)


def _up(value: float, grain: int) -> int:
    return -int(-value // grain) * grain


def _vram(node: NodeReport, limits: Limits) -> Iterable[int]:
    return (d.vram_total_mib - limits.vram_headroom_mib for d in node.devices if not d.quarantined)


def _ram(node: NodeReport, limits: Limits) -> Iterable[int]:
    return () if node.ram_total_mib is None else (node.ram_total_mib - limits.ram_headroom_mib,)


def _scratch(node: NodeReport, limits: Limits) -> Iterable[int]:
    return (
        v.total_bytes - limits.disk_headroom(v.root)
        for v in node.volumes
        if v.root == SCRATCH_ROOT and v.total_bytes is not None
    )


LEARNED: tuple[LearnedAmount, ...] = (
    LearnedAmount(
        name="vram_mib",
        words="VRAM",
        cause="cuda_oom",
        unit=MIB,
        peak=attrgetter("vram_mib"),
        place="device",
        capacity=_vram,
        grain=64,
        small=0,
        raised_grain=256,
        is_sampled=True,
    ),
    LearnedAmount(
        name="ram_mib",
        words="memory",
        cause="host_oom",
        unit=MIB,
        peak=attrgetter("rss_mib"),
        place="node",
        capacity=_ram,
        grain=64,
        small=256,
        raised_grain=256,
    ),
    LearnedAmount(
        name="scratch_bytes",
        words="scratch",
        cause="no_space",
        unit=1,
        peak=attrgetter("scratch_bytes"),
        place="node",
        capacity=_scratch,
        grain=MIB,
        small=64 * MIB,
        raised_grain=64 * MIB,
        is_sampled=True,
        is_reserved=False,
        has_files=True,
    ),
)
BY_NAME: Mapping[str, LearnedAmount] = {row.name: row for row in LEARNED}
#: What each cause ran out of.
RAN_OUT_OF: Mapping[Cause, LearnedAmount] = {row.cause: row for row in LEARNED}
RESERVED = tuple(row for row in LEARNED if row.is_reserved)


def largest(reports: Sequence[NodeReport], limits: Limits) -> Largest:
    """Over all nodes that report. Only what is known counts."""
    found: dict[Resource, list[int]] = {
        row.name: [most for node in reports for most in row.capacity(node, limits)] for row in LEARNED
    }
    return {name: max(amounts) for name, amounts in found.items() if amounts}
