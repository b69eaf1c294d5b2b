"""What one attempt will hold in its place: its reservation, and the pools it is taken from. Pure."""

from __future__ import annotations

from conductor.core.ask import Ask
from conductor.core.charges import cpu_key, disk_key, ram_key, vram_key
from conductor.core.free import Pool
from conductor.core.kinds import Permit
from conductor.core.placement import Place
from conductor.model.limits import Limits
from conductor.model.snapshot import Head, JobClass, Reservation

#: (charge key, pool, amount).
Taken = tuple[str, Pool, int]


def takes(ask: Ask, place: Place) -> list[Taken]:
    """All that one attempt takes there."""
    node, name = place.node, place.node.name
    taken = [(vram_key(name, device.key), device.vram, ask.vram_mib) for device in place.devices]
    if ask.ram_mib and node.ram is not None:
        taken.append((ram_key(name), node.ram, ask.ram_mib))
    if ask.cpu_milli:
        taken.append((cpu_key(name), node.cpu, ask.cpu_milli))
    for root, size in ask.disk:
        disk = node.disks[root]
        if size and disk.pool is not None:
            taken.append((disk_key(name, *disk.sharing), disk.pool, size))
    return taken


def _uuids(place: Place) -> tuple[str, ...]:
    """Of all its devices, or of none."""
    uuids = tuple([device.uuid for device in place.devices])
    return uuids if all(uuids) else ()


def reservation_of(
    job_class: JobClass, head: Head, ask: Ask, place: Place, now: float, permit: Permit, limits: Limits
) -> Reservation:
    return Reservation(
        job_id=head.job_id,
        attempt=head.attempts + 1,
        class_id=job_class.id,
        task=job_class.task,
        backlog=job_class.backlog,
        kind=job_class.kind,
        node=place.node.name,
        queue=place.queue.name,
        lane=job_class.lane,
        devices=tuple([device.key for device in place.devices]),
        uuids=_uuids(place),
        vram_mib=ask.vram_mib if place.devices else 0,
        ram_mib=ask.ram_mib,
        cpu=job_class.needs.cpu,
        disk=dict(ask.disk),
        admitted_at=now,
        expected_s=job_class.duration_s,
        role=permit.role,
        code=permit.code,
        breaker=limits.breaker.failures,
    )
