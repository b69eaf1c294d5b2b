"""Readings → NodeReport, and whether it says something new enough to be sent at once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.host.host_probe import HostFacts
from conductor.base.settings.sections import Root
from conductor.core.admission.obstacles import are_other
from conductor.core.capacity.resources import NODE
from conductor.model.report import (
    UNKNOWN,
    CounterReading,
    Device,
    NodeReport,
    Obstacle,
    QueueReport,
    Volume,
)

#: Free memory that moved less is not worth waking the conductor for.
MOVED_MIB = 256
MOVED_BYTES = 1 << 30
#: Clocks that are set over a network differ by so much.
CLOCK_UNSURE_S = 0.5
NOTHING: Mapping[str, int] = {}
DIVIDED = "it was divided (MIG): its slices are devices of their own"


class Identity(Struct, frozen=True, kw_only=True):
    """Who reports; the same from start to end of a node process."""

    node: str
    host: str
    boot_id: str
    pid: int
    #: Which Conductor it runs.
    build: str = ""
    #: Its name at the engine that started it; empty: no engine did.
    pilot: str = ""


class Reading(Struct, frozen=True, kw_only=True):
    """What the probes said, all of one moment."""

    devices: tuple[Device, ...] = ()
    volumes: tuple[Volume, ...] = ()
    host: HostFacts
    notes: tuple[str, ...] = ()
    #: Counter of this node → what its command said.
    counters: dict[str, CounterReading] = {}
    #: What node-side gates found.
    obstacles: tuple[Obstacle, ...] = ()
    #: Task → version of its code.
    code: dict[str, str] = {}


class Workforce(Struct, frozen=True, kw_only=True):
    """What the supervisor says of its workers."""

    queues: tuple[QueueReport, ...] = ()
    is_draining: bool = False
    notes: tuple[str, ...] = ()
    #: pid → name of the workers that live.
    pids: dict[int, str] = {}


def make_report(
    identity: Identity,
    reading: Reading,
    workforce: Workforce,
    sent_at: float,
    volumes_age_s: float = 0.0,
) -> NodeReport:
    """`sent_at`: epoch seconds by the ledger's clock."""
    return NodeReport(
        node=identity.node,
        host=identity.host,
        boot_id=identity.boot_id,
        pid=identity.pid,
        build=identity.build,
        pilot=identity.pilot,
        sent_at=sent_at,
        devices=reading.devices,
        volumes=reading.volumes,
        volumes_age_s=volumes_age_s,
        queues=workforce.queues,
        measured=reading.host.measured,
        cpu_count=reading.host.cpu_count,
        counters=reading.counters,
        is_draining=workforce.is_draining,
        obstacles=reading.obstacles,
        code=reading.code,
        notes=(*reading.notes, *workforce.notes),
    )


def clock_ahead_s(before: float, redis: float, after: float) -> float:
    """By how much this host's clock is ahead of Redis's: it read `before` and `after` around Redis's answer
    `redis` (epoch seconds). 0 where the way there may explain it."""
    ahead_s, unsure_s = (before + after) / 2 - redis, (after - before) / 2
    return round(ahead_s, 1) if abs(ahead_s) > unsure_s + CLOCK_UNSURE_S else 0.0


def remember(
    known: Sequence[Device], seen: Sequence[Device], why: str, divided: Collection[str] = ()
) -> tuple[Device, ...]:
    """The devices seen now, and those of before that are not among them: quarantined, never silently gone.

    `divided`: UUIDs of cards whose slices are devices of their own now."""
    indices = {device.index for device in seen}
    lost = (
        replace(d, vram_used_mib=None, ours=None, quarantined=DIVIDED if d.uuid in divided else why)
        for d in known
        if d.index not in indices
    )
    return tuple(sorted([*map(_with_name(known), seen), *lost], key=lambda device: device.index))


def _with_name(known: Sequence[Device]):  # noqa: ANN202
    """A device in error may not even say its name: what it said before stands."""
    before = {device.index: device for device in known}

    def filled(device: Device) -> Device:
        old = before.get(device.index)
        if device.quarantined is None or old is None:
            return device
        return replace(old, vram_used_mib=None, ours=None, quarantined=device.quarantined)

    return filled


def with_thresholds(
    before: Sequence[Volume],
    now: Sequence[Volume],
    roots: Mapping[str, Root],
    removable: Mapping[str, int] = NOTHING,
) -> tuple[Volume, ...]:
    """A disk closes when less than its headroom is free, and opens when so much more is: one that hovers at
    the limit would open and close with every file."""
    closed = {volume.root for volume in before if volume.opens_at_bytes is not None}
    now = [replace(volume, removable_bytes=removable.get(volume.root, 0)) for volume in now]
    return tuple(_with_threshold(volume, volume.root in closed, roots[volume.root]) for volume in now)


def _with_threshold(volume: Volume, was_closed: bool, root: Root) -> Volume:
    free, opens_at = volume.free_bytes, root.opens_at(volume.total_bytes)
    is_closed = was_closed if free is None else free < (opens_at if was_closed else root.headroom_bytes)
    return replace(volume, opens_at_bytes=opens_at) if is_closed else volume


def is_news(before: NodeReport | None, now: NodeReport) -> bool:
    """Something by which a job may be placed differently changed since the report that was last sent."""
    if before is None:
        return True
    is_other = _facts(before) != _facts(now) or are_other(before.obstacles, now.obstacles)
    return is_other or _has_moved(before, now)


def closed_by(report: NodeReport) -> frozenset[str]:
    """Keys of the devices on which it says that nothing starts; empty: the whole host."""
    quarantined = {device.key for device in report.devices if device.quarantined}
    return frozenset(quarantined | {obstacle.device for obstacle in report.obstacles})


def _facts(report: NodeReport) -> tuple[object, ...]:
    return (
        [
            (d.index, d.uuid, d.vram_total_mib, d.quarantined, d.vram_used_mib is None, d.is_slice)
            for d in report.devices
        ],
        [None if d.ours is None else sorted(d.ours) for d in report.devices],
        [(v.root, v.fault, v.is_writable, v.opens_at_bytes) for v in report.volumes],
        report.queues,
        report.is_draining,
        [(name, reading.others) for name, reading in report.counters.items()],
        report.code,
        report.notes,
    )


def _free(resource: str, report: NodeReport) -> int:
    return report.measured.get(resource, UNKNOWN).free or 0


def _has_moved(before: NodeReport, now: NodeReport) -> bool:
    """Called with the same devices and volumes in both."""
    vram = any(
        abs((old.vram_used_mib or 0) - (new.vram_used_mib or 0)) > MOVED_MIB
        or abs(sum((old.ours or {}).values()) - sum((new.ours or {}).values())) > MOVED_MIB
        for old, new in zip(before.devices, now.devices, strict=True)
    )
    host = any(abs(_free(row.name, before) - _free(row.name, now)) > row.is_news for row in NODE)
    disk = any(
        abs((old.free_bytes or 0) - (new.free_bytes or 0)) > MOVED_BYTES
        for old, new in zip(before.volumes, now.volumes, strict=True)
    )
    return vram or host or disk


def outline(reading: Reading, queues: Sequence[QueueReport]) -> str:
    """«gpu0 RTX 4090 24 GiB; 2 workers on gpu-a-gpu0, 16 on cpu-a; fault: …»."""
    devices = [f"{d.key} {d.name} {d.vram_total_mib / 1024:.0f} GiB" for d in reading.devices]
    workers = ", ".join(f"{queue.workers} on {queue.queue}" for queue in queues)
    faults = [f"fault: {volume.fault}" for volume in reading.volumes if volume.fault]
    return "; ".join([*devices, f"workers: {workers or 'none'}", *reading.notes, *faults])
