"""CLUSTER.toml → the reports that such nodes would publish. What a node does not name is not limited
there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from conductor.base.errors import ConfigError
from conductor.base.settings.toml_file import read_toml
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.spec import Lane

#: Workers, and bytes, MiB or milli-cores where none are named: more than any workload asks for.
PLENTY = 1 << 50
SCRATCH = "scratch"


class DeviceKind(Struct, frozen=True, forbid_unknown_fields=True):
    vram_mib: Annotated[int, Meta(gt=0)]


class NodeKind(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[node]]`: so many equal hosts."""

    name: str
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    cpu_milli: Annotated[int, Meta(ge=0)] = PLENTY
    ram_mib: Annotated[int, Meta(ge=0)] = PLENTY
    scratch_bytes: Annotated[int, Meta(ge=0)] = PLENTY
    devices: tuple[DeviceKind, ...] = ()


class Cluster(Struct, frozen=True, forbid_unknown_fields=True):
    node: Annotated[tuple[NodeKind, ...], Meta(min_length=1)]


def read(path: Path) -> tuple[NodeReport, ...]:
    """The nodes of a CLUSTER.toml. Raises `ConfigError` that names the file and the fault."""
    try:
        cluster = msgspec.convert(read_toml(path), Cluster)
    except msgspec.ValidationError as e:
        raise ConfigError(f"{path} is no CLUSTER.toml ([[node]] name, count, cpu_milli, …): {e}") from None
    return reports(cluster.node)


def reports(kinds: tuple[NodeKind, ...]) -> tuple[NodeReport, ...]:
    names = [kind.name for kind in kinds]
    if len(set(names)) < len(names):
        raise ConfigError("two [[node]] have the same name: each kind of node needs its own")
    return tuple(
        report(kind, kind.name if kind.count == 1 else f"{kind.name}-{i:0{len(str(kind.count - 1))}}")
        for kind in kinds
        for i in range(kind.count)
    )


def report(kind: NodeKind, name: str) -> NodeReport:
    """A host that has told all, with a queue for every lane and device and always a worker to spare."""
    plain: tuple[Lane, ...] = ("cpu", "io", "cloud")
    queues = [QueueReport(queue=f"{lane}-{name}", lane=lane, workers=PLENTY) for lane in plain]
    for i in range(len(kind.devices)):
        queues.append(QueueReport(queue=f"gpu-{name}-gpu{i}", lane="gpu", device=f"gpu{i}", workers=PLENTY))
    return NodeReport(
        node=name,
        host=name,
        devices=tuple(
            Device(index=i, uuid=f"{name}-{i}", name="simulated", vram_total_mib=d.vram_mib, vram_used_mib=0)
            for i, d in enumerate(kind.devices)
        ),
        volumes=(
            Volume(root=SCRATCH, path="/", total_bytes=kind.scratch_bytes, free_bytes=kind.scratch_bytes,
                   is_writable=True),
            Volume(root="published", path="/", total_bytes=PLENTY, free_bytes=PLENTY, is_writable=True),
        ),
        queues=tuple(queues),
        measured={"ram": Measure(total=kind.ram_mib, free=kind.ram_mib)},
        cpu_count=kind.cpu_milli / 1000,
    )  # fmt: skip
