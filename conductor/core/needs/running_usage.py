"""What running jobs of a kind hold now, known each second: nobody of that kind is asked less, before any
receipt. Pure.

Learned needs come with the first receipt; until then forty jobs that say 500 MiB and take 5,000 would be let
in by their word, and kill each other.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from conductor.core.capacity.cluster import Free
from conductor.core.needs.caps import within
from conductor.core.needs.learned_amounts import BY_NAME
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, JobClass, Reservation, Snapshot

#: What they hold is rounded up to these, so that it is the same for many ticks.
GRAIN_MIB = 64


class HeldNow(NamedTuple):
    """One running job that holds more than the request it was admitted with, or as much: MiB on its
    fullest device.
    """

    class_id: str
    reserved_mib: int
    held_mib: int


#: Kind → what running jobs of it are seen to hold.
Holdings = Mapping[str, list[HeldNow]]


def measured(snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> tuple[Candidate, ...]:
    """The candidates with what running ones of their kind hold in place of less, cut to what the nodes
    have.
    """
    wanted = {c.job_class.kind or c.job_class.task for c in candidates if c.job_class.needs.vram_mib}
    held = holdings(snapshot, wanted) if wanted and snapshot.reservations else {}
    if not held:
        return tuple(candidates)
    if not any(_most(candidate.job_class, held) for candidate in candidates):
        return tuple(candidates)
    free = Free(snapshot, limits)
    return tuple(
        candidate if c is candidate.job_class else msgspec.structs.replace(candidate, job_class=c)
        for candidate in candidates
        for c in (asking(candidate.job_class, held, free),)
    )


def holdings(snapshot: Snapshot, kinds: Container[str]) -> Holdings:
    """Of these kinds."""
    held_on, found = HeldOn(snapshot.nodes), dict[str, list[HeldNow]]()
    are_listed = held_on.are_listed()
    for r in snapshot.reservations:
        # Asked of all that runs at every tick: of most nothing was told.
        if not r.vram_mib or r.state != "running" or (r.usage is None and not are_listed):
            continue
        kind = r.kind or r.task
        if kind in kinds and (held := held_on.mib(r)):
            found.setdefault(kind, []).append(HeldNow(r.class_id, r.vram_mib, held))
    return found


def held_by_kind(of: Reservation, going: Iterable[Reservation], reports: Iterable[NodeReport]) -> int:
    """MiB that running jobs of its kind hold at most, `of` itself not among them; 0: not known."""
    held_on, kind = HeldOn(reports), of.kind or of.task
    others = (
        r for r in going if r.state == "running" and (r.kind or r.task) == kind and r.job_id != of.job_id
    )
    return max(map(held_on.mib, others), default=0)


class HeldOn:
    """What nodes report of their devices, to ask what one attempt holds there."""

    def __init__(self, reports: Iterable[NodeReport]) -> None:
        self._devices = {
            (node.node, device.key): (device, node.sent_at) for node in reports for device in node.devices
        }

    def are_listed(self) -> bool:
        """Does a driver say which processes hold its devices."""
        return any(device.ours for device, _ in self._devices.values())

    def read_at(self, r: Reservation) -> float | None:
        """When its devices were read; None: they are not reported."""
        return min(
            (self._devices[r.node, key][1] for key in r.devices if (r.node, key) in self._devices),
            default=None,
        )

    def mib(self, r: Reservation) -> int:
        """On its fullest device, by its worker's own word and by what the driver lists of that worker."""
        return max((self._on(r, key) for key in r.devices), default=0)

    def _on(self, r: Reservation, key: str) -> int:
        read = self._devices.get((r.node, key))
        told = 0 if r.usage is None else r.usage.vram_on.get(key, r.usage.vram_mib or 0)
        if read is None or r.worker is None or r.started_at is None:
            return told
        device, at = read
        # A reading from before it began says nothing of it.
        return max(told, device.ours.get(r.worker, 0)) if device.ours and r.started_at <= at else told


def _most(c: JobClass, held: Holdings) -> int:
    """The MiB that the class should ask; 0: its own need is enough. Counted are jobs of its own class, and
    jobs for which no more was reserved than this class asks."""
    own = c.needs.vram_mib
    known = (
        h.held_mib for h in held.get(c.kind or c.task, ()) if h.class_id == c.id or h.reserved_mib <= own
    )
    most = max(known, default=0)
    return -(-most // GRAIN_MIB) * GRAIN_MIB if own and most > own else 0


def asking(c: JobClass, held: Holdings, free: Free) -> JobClass:
    """The class with what running ones of its kind hold; the very same where it asks no less."""
    mib = _most(c, held)
    if not mib:
        return c
    needs = within(c, msgspec.structs.replace(c.needs, vram_mib=mib), free)
    if needs.vram_mib <= c.needs.vram_mib:
        return c
    row = BY_NAME["vram_mib"]
    more, own = row.shown(needs.vram_mib), row.shown(c.needs.vram_mib)
    words = f"asks {more} of {row.words} instead of {own}, as those of its kind that run hold"
    return msgspec.structs.replace(c, needs=needs, learned=(*c.learned, words))
