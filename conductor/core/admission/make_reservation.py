"""What one attempt will hold in its place: its reservation, and the pools it is taken from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.core.capacity.charges import disk_key
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import FIELDS, Amounts, Pool, charge_key
from conductor.core.failures.breaker import Permit
from conductor.core.placement.placement import Place
from conductor.model.limits import Limits
from conductor.model.snapshot import Head, JobClass, Reservation

#: (charge key, pool, amount).
Taken = tuple[str, Pool, int]


def takes(demand: Demand, place: Place, of_cluster: Mapping[str, Pool | None]) -> list[Taken]:
    """All that one attempt takes there."""
    node, name = place.node, place.node.name
    taken: list[Taken] = []
    for device in place.devices:
        taken += _of(device.amounts, demand.of_device, f"{name}/{device.key}")
    taken += _of(node.amounts, demand.of_node, name)
    taken += _of(of_cluster, demand.of_cluster, "")
    for root, size in demand.disk:
        disk = node.disks[root]
        if size and disk.pool is not None:
            taken.append((disk_key(name, *disk.sharing), disk.pool, size))
    return taken


def _of(pools: Mapping[str, Pool | None], amounts: Amounts, place: str) -> Iterable[Taken]:
    for name, amount in amounts:
        if (pool := pools[name]) is not None:
            yield charge_key(name, place), pool, amount


def _by_key(demand: Demand, place: Place) -> dict[str, int]:
    """Charge key → amount, of what a reservation has no field for: what is counted by name."""
    name = place.node.name
    asked = [("", demand.of_cluster), (name, demand.of_node)]
    asked += [(f"{name}/{device.key}", demand.of_device) for device in place.devices]
    return {
        charge_key(n, where): amount for where, amounts in asked for n, amount in amounts if n not in FIELDS
    }


def _uuids(place: Place) -> tuple[str, ...]:
    """Of all its devices, or of none."""
    uuids = tuple([device.uuid for device in place.devices])
    return uuids if all(uuids) else ()


def reservation_of(
    job_class: JobClass, head: Head, demand: Demand, place: Place, now: float, permit: Permit, limits: Limits
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
        vram_mib=demand.vram_mib if place.devices else 0,
        ram_mib=demand.ram_mib,
        cpu=job_class.needs.cpu,
        disk=dict(demand.disk),
        held=_by_key(demand, place),
        admitted_at=now,
        expected_s=job_class.duration_s,
        role=permit.role,
        code=permit.code,
        breaker=limits.breaker.failures,
    )
