"""The hosts of the mixed run (`mixed_run`), their workers, and the tasks and APIs that there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from builders import GIB, a_device, a_volume, memory, needs
from msgspec.structs import replace

from conductor.base.settings.endpoint_settings import Rate
from conductor.model.ledger_entries import Begun, Started
from conductor.model.report import Device, NodeReport, QueueReport, Volume
from conductor.model.spec import Lane, Needs, TaskDecl


def decl(name: str, lane: Lane, asks: Needs | None = None, **more: Any) -> TaskDecl:
    return TaskDecl(name=name, lane=lane, needs=asks or Needs(), module="somewhere", **more)


TASKS = {
    each.name: each
    for each in (
        decl("media.render", "gpu", needs(vram_mib=9000, ram_mib=3000, cpu=2.0), parameters=("preset",)),
        decl("media.cut", "cpu", needs(cpu=1.0, ram_mib=500)),
        decl("media.mux", "cpu", needs(cpu=2.0, ram_mib=6000)),
        decl("media.broken", "cpu", needs(cpu=1.0), parameters=("preset",)),
        decl("vision.detect", "gpu", needs(vram_mib=3000, ram_mib=1000, cpu=1.0), warm="onnx:{model}"),
        decl("vision.large", "gpu", needs(vram_mib=14_000, devices=2, ram_mib=8000, cpu=4.0)),
        decl("vision.unsaid", "gpu"),
        decl("io.copy", "io", needs(cpu=0.5)),
        decl("io.touch", "io"),
        decl("llm.annotate", "cloud", needs(rates={"api": (1, 800)})),
        decl("llm.judge", "cloud", needs(rates={"dear": (1, 4000)}), rate="{endpoint}"),
        decl("odd.unknown", "cpu", needs(cpu=1.0)),
    )
}
RATES = {
    "api": Rate(requests_per_min=30, tokens_per_min=20_000),
    "dear": Rate(requests_per_min=40, usd_per_day=0.6),
    "shaky": Rate(),
}


class MixedHost:
    """One node: what it has, what it says of itself, and its workers."""

    def __init__(self, name: str, devices: Sequence[Device], volumes: Sequence[Volume], **more: Any) -> None:
        self.name = name
        self.devices = list(devices)
        self.volumes = {volume.root: volume for volume in volumes}
        self.more: dict[str, Any] = {
            "measured": memory(65_536, 60_000),
            "cpu_count": 16.0,
            **more,
        }
        self.is_silent = False
        self.foreign_mib: Counter[str] = Counter()
        self.tells_ours = True
        self.warm: dict[str, tuple[str, ...]] = {}
        self.dying: dict[str, str] = {}
        plain: tuple[tuple[Lane, int], ...] = (("cpu", 4), ("io", 2), ("cloud", 4))
        lanes: list[tuple[Lane, str | None, int]] = [(lane, None, count) for lane, count in plain]
        lanes.extend(("gpu", device.key, 2) for device in devices)
        self.queues: dict[str, tuple[Lane, str | None, int]] = {
            f"{lane}-{name}" + (f"-{key}" if key else ""): (lane, key, n) for lane, key, n in lanes
        }
        self.workers = {
            f"{queue}-w{n}": MixedWorker(f"{queue}-w{n}", queue, self)
            for queue, (_, _, count) in self.queues.items()
            for n in range(count)
        }

    def add(self, queue: str, lane: Lane, workers: int) -> None:
        self.queues[queue] = (lane, None, workers)
        self.workers |= {f"{queue}-w{n}": MixedWorker(f"{queue}-w{n}", queue, self) for n in range(workers)}

    def report(self, lying: int) -> NodeReport:
        """`lying`: bytes of files on its scratch."""
        devices: list[Device] = []
        for device in self.devices:
            ours = {
                w.name: w.holds_mib for w in self.workers.values() if w.holds_mib and device.key in w.devices
            }
            used = sum(ours.values()) + self.foreign_mib[device.key]
            told = ours if self.tells_ours else None
            devices.append(
                replace(device, vram_used_mib=used if device.vram_used_mib is not None else None, ours=told)
            )
        volumes = dict(self.volumes)
        if (scratch := volumes.get("scratch")) is not None and scratch.free_bytes is not None:
            volumes["scratch"] = replace(scratch, free_bytes=max(0, scratch.free_bytes - lying))
        queues = tuple(
            QueueReport(
                queue=queue,
                lane=lane,
                device=key,
                workers=0 if queue in self.dying else count,
                dying=self.dying.get(queue, ""),
                warm=self.warm.get(queue, ()),
            )
            for queue, (lane, key, count) in self.queues.items()
        )
        return NodeReport(
            node=self.name,
            host=self.name,
            boot_id="b",
            pid=7,
            devices=tuple(devices),
            queues=queues,
            volumes=tuple(volumes.values()),
            volumes_age_s=0.5,
            **self.more,
        )


class MixedWorker:
    """Runs one job at a time, and the successor that was preloaded behind it."""

    def __init__(self, name: str, queue: str, host: MixedHost) -> None:
        self.name, self.queue, self.host = name, queue, host
        self.job: Started | None = None
        self.ends_at = 0.0
        self.holds_mib = 0
        self.devices: tuple[str, ...] = ()
        self.next: tuple[Begun, Started] | None = None
        self.is_dead_until = 0.0
        self.turns = 0


def hosts() -> list[MixedHost]:
    code = {task: "v1" for task in TASKS if task != "odd.unknown"}
    alpha = MixedHost(
        "alpha",
        [a_device(0), a_device(1)],
        [
            a_volume("scratch", total_bytes=60 * GIB, free_bytes=60 * GIB),
            a_volume("published", total_bytes=300 * GIB, free_bytes=200 * GIB, filesystem="nas"),
        ],
        code=code,
    )
    beta = MixedHost(
        "beta",
        [a_device(0, vram_total_mib=16_384, is_declared=True)],
        [
            a_volume("scratch", total_bytes=24 * GIB, free_bytes=24 * GIB, filesystem="one"),
            a_volume("published", total_bytes=24 * GIB, free_bytes=24 * GIB, filesystem="one"),
        ],
        measured=memory(16_384, 15_000),
        cpu_count=6.0,
        code=code,
    )
    beta.tells_ours = False
    gamma = MixedHost(
        "gamma",
        [],
        [a_volume("scratch", free_bytes=None, total_bytes=None)],
        measured=memory(None, None),
        cpu_count=2.0,
        code=code,
    )
    delta = MixedHost(
        "delta",
        [a_device(n, vram_total_mib=11_000, is_slice=n < 2, vram_used_mib=None) for n in range(3)],
        [
            a_volume("scratch", total_bytes=30 * GIB, free_bytes=12 * GIB, removable_bytes=3 * GIB),
            a_volume("published"),
        ],
        measured=memory(24_000, 6_000),
        cpu_count=8.0,
        code={**code, "media.broken": "v2"},
    )
    delta.is_silent = True
    return [alpha, beta, gamma, delta]
