"""A night as the page shows it: two hosts, gates open and closed, a job that can never run, six hours of the
resource log. Put into a real ledger by hand, so that it stands still while one looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
from builders import GIB, a_device, a_report, a_spec, a_volume
from node_scene import NodeScene

from conductor.app.schedules.resource_log import promises, readings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.decision import GateLedger, Hold, Shared, Verdict
from conductor.model.forecast import Forecast
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.reason import Reason
from conductor.model.report import NodeReport, Obstacle
from conductor.model.resource_reading import ResourceReading
from conductor.model.spec import Output, to_line
from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger

HOURS = 6
TTL_S = 3600


def put(
    ledger: Ledger, first: int, count: int, backlog: str = "night", task: str = "diagnostics.echo"
) -> list[str]:
    """Jobs about clips; their ids."""
    decl = load_catalogue()[task]
    specs = [
        a_spec(n, task=task, writes=(Output(path=f"published:clip {n:06d}.mp4"),))
        for n in range(first, first + count)
    ]
    for i in range(0, count, 1000):
        entries = [
            Entry(job_id=spec.id, line=to_line(spec), job_class=class_of(spec, decl, backlog))
            for spec in specs[i : i + 1000]
        ]
        ledger.intake.put(backlog, entries)
    return [spec.id for spec in specs]


def put_night(scene: NodeScene) -> list[str]:
    """All of it; ids of the twenty jobs."""
    ledger = scene.ledger
    ids = put(ledger, 0, 20)
    put(ledger, 100, 3, backlog="annotate")
    scene.admit(ids[0])
    scene.admit(ids[1])
    ledger.attempts.start(ids[0], 1, "worker-1", 3600.0)
    now = ledger.bell.now()
    epoch = ledger.leadership.lead("test", TTL_S)
    assert epoch is not None
    for report in reports():
        ledger.reports.publish(report, TTL_S)
    ledger.gate_record.record_gates(epoch, gates(now, ids))
    ledger.forecasts.expect(
        Forecast(
            backlog="night", begun_at=now - 7200, first_made_at=now - 7200, first_ends_at=now + 7000,
            first_left=20, first_known=20, made_at=now, ends_at=now + 8000,
        )
    )  # fmt: skip
    ledger.events.append(list(past(now)))
    return ids


def reports() -> Iterator[NodeReport]:
    hot = Obstacle(
        gate="temperature", device="gpu1", words="it is too hot", figure=86, opens_at=78, unit="°C", since=0
    )
    cards = (
        a_device(0, name="RTX 4090", vram_used_mib=14000, ours={"worker-1": 9400}),
        a_device(1, name="RTX 4090", vram_used_mib=900, quarantined="it keeps 900 MiB that nobody holds"),
    )
    disks = (
        a_volume(free_bytes=40 * GIB, removable_bytes=12 * GIB),
        a_volume("nas", is_writable=False, fault="not mounted: marker .conductor-mount is missing"),
    )
    yield a_report("studio1", devices=cards, volumes=disks, obstacles=(hot,), workers=2)
    yield a_report("studio2", devices=0, volumes=(a_volume(free_bytes=80 * GIB),), workers=2)


def gates(now: float, ids: list[str]) -> GateLedger:
    gpu = "studio1/gpu0"
    room = Verdict(
        gate="vram", passed=False, reason=Reason.NO_ROOM, where=gpu, need=10000, have=6100, limit=24064,
        unit="MiB", holders=(ids[0],), reopens_at=now + 900,
    )  # fmt: skip
    small = Verdict(
        gate="vram",
        passed=False,
        reason=Reason.TOO_LARGE,
        where=gpu,
        need=48000,
        limit=24064,
        unit="MiB",
    )
    held = Hold(
        class_id="a", backlog="night", task="diagnostics.echo", lane="gpu", waiting=16, verdicts=(room,),
        since=now - 1400, head=ids[2], closed_since={"vram": now - 1400}, lost_s={"vram": 1400.0},
    )  # fmt: skip
    never = Hold(
        class_id="b", backlog="annotate", task="diagnostics.echo", lane="gpu", waiting=2, verdicts=(small,),
        is_infeasible=True, since=now - 900, head=ids[3], closed_since={"vram": now - 900},
    )  # fmt: skip
    return GateLedger(
        at=now, holds=(held, never), shared=shared(18000.0),
        lost_s={"night": {"vram": 4320.0, "scratch": 240.0}},
        reports={"studio1": now, "studio2": now},
    )  # fmt: skip


def shared(promised: float) -> tuple[Shared, ...]:
    gpu = Shared(
        where="studio1/gpu0",
        gate="vram",
        unit="MiB",
        limit=24064,
        reserved=promised,
        others=1200,
        free=max(0.0, 22864 - promised),
    )
    disk = msgspec.structs.replace(
        gpu, where="studio1/scratch", gate="scratch", unit="bytes", limit=99 * GIB, reserved=30 * GIB,
        others=0, free=10 * GIB,
    )  # fmt: skip
    ram = msgspec.structs.replace(
        gpu, where="studio1", gate="ram", limit=64512, reserved=12000, others=0, free=52512
    )
    return gpu, disk, ram


def past(now: float) -> Iterator[ToldEvent]:
    """What the leader noted each minute."""
    report = next(reports())
    for minute in range(HOURS * 60):
        at = now - 60 * (HOURS * 60 - minute)
        busy = 0.5 + 0.5 * math.sin(minute / 25)
        card = a_device(0, vram_used_mib=round(1200 + 18000 * busy))
        then = NodeReport(
            node="studio1",
            host="studio1",
            devices=(card,),
            volumes=report.volumes[:1],
            measured=report.measured,
        )
        told = [*readings(then), *promises("studio1", shared(20000 * round(busy, 1)))]
        yield ToldEvent(
            name="node.resources", at=at, fields={"node": "studio1", "readings": list(map(str, told))}
        )
        costs = [str(ResourceReading("vram", "lost_s", 1.0 * minute, None))]
        yield ToldEvent(name="gates.lost", at=at, fields={"readings": costs})
