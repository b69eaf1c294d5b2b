"""What comes in the mixed run (`mixed_run`), and what befalls hosts, operators and APIs, second by second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders import GIB, memory, needs
from msgspec.structs import replace

from conductor.model.spec import Estimate, Needs, Output

if TYPE_CHECKING:
    from mixed_run import MixedWorld


def script(world: MixedWorld, at: int) -> None:
    """The jobs that come at that second, and what is said of them."""
    begin(world, at)
    go_on(world, at)
    befall_controls(world, at)
    befall_hosts(world, at)
    befall_all_hosts(world, at)
    say(world, at)


def begin(world: MixedWorld, at: int) -> None:
    """The dispatches of the evening."""
    put = world.jobs.put
    if at == 1:
        put("night", "media.render", 24, args={"preset": "fine"}, estimate=Estimate(duration_s=14.0))
        put(
            "night",
            "media.render",
            10,
            args={"preset": "draft"},
            estimate=Estimate(duration_s=5.0),
            priority=1,
        )
        put(
            "night", "vision.detect", 30, args={"model": "yolo"}, estimate=Estimate(duration_s=6.0, size=40.0)
        )
        put("day", "media.cut", 60, estimate=Estimate(duration_s=4.0))
        put("day", "media.mux", 14, estimate=Estimate(duration_s=9.0))
        put("day", "io.copy", 16, writes=(Output(path="published:{id}", bytes=3 * GIB),))
        put("cloud", "llm.annotate", 110, estimate=Estimate(duration_s=2.0))
        for n in range(5):
            world.jobs.chain("night", [6 * GIB, 9 * GIB, 5 * GIB, 2 * GIB], fan=1 + n % 2, stays=GIB)
    if at == 3:
        put("cloud", "llm.judge", 30, estimate=Estimate(duration_s=3.0), args={"endpoint": "dear"})
        put(
            "cloud",
            "llm.annotate",
            24,
            needs=needs(rates={"shaky": (1, 0)}),
            estimate=Estimate(duration_s=2.0),
        )
        put("night", "vision.large", 4, estimate=Estimate(duration_s=20.0), priority=2)
        put("day", "vision.unsaid", 3, estimate=Estimate(duration_s=7.0))
        put("day", "vision.large", 2, needs=needs(vram_mib=40_000, cpu=1.0))
        put("day", "media.cut", 2, needs=needs(cpu=90.0))
        put("day", "odd.unknown", 2)
        put("day", "media.cut", 3, writes=(Output(path="nowhere:{id}", bytes=1),))
        put(
            "day",
            "media.cut",
            3,
            needs=needs(cpu=1.0, scratch_bytes=25 * GIB),
            estimate=Estimate(duration_s=12.0),
        )
        world.jobs.chain("day", [70 * GIB, 3 * GIB])
    if at == 6:
        put(
            "rush",
            "media.broken",
            14,
            args={"preset": "bad"},
            estimate=Estimate(duration_s=2.0),
            retry={"task_error": 1},
        )
        put("rush", "media.broken", 10, args={"preset": "mended"}, estimate=Estimate(duration_s=2.0))
        first = put("rush", "media.cut", 2, priority=3, estimate=Estimate(duration_s=3.0))
        put("rush", "media.mux", 3, after=tuple(first), priority=3)
        put("rush", "media.cut", 2, after_ended=tuple(first))
        put("hourly", "media.cut", 4)


def go_on(world: MixedWorld, at: int) -> None:
    """What comes while others run."""
    put, draw = world.jobs.put, world.draw
    if at > 10 and at % 9 == 0:
        lane = draw.choice(("media.cut", "vision.detect", "media.render", "llm.annotate"))
        args = {"model": draw.choice(("yolo", "clip"))} if lane == "vision.detect" else {"preset": "late"}
        asks: Needs | None = needs(vram_mib=draw.choice((2000, 7000, 15_000, 21_000)), ram_mib=1500, cpu=1.0)
        asks = asks if lane.startswith(("vision", "media.render")) else None
        put(
            draw.choice(("night", "day", "rush")),
            lane,
            draw.randint(2, 9),
            args=args,
            priority=draw.choice((0, 0, 0, 1, -1)),
            estimate=Estimate(duration_s=draw.choice((2.0, 6.0, 11.0))),
            needs=asks,
        )
    if at in (95, 102, 110, 289):
        put("day", "io.copy", 6, writes=(Output(path="published:{id}", bytes=9 * GIB),))
    if at in (84, 224):
        # Held for cores, with files to write: successors whose ceilings count what goes before them leaves.
        written = (Output(path="published:{id}", bytes=GIB),)
        put("rush", "media.mux", 14, needs=needs(cpu=5.0), priority=4, writes=written)
    if at in (118, 124, 130):
        put(
            "cloud",
            "llm.annotate",
            12,
            needs=needs(rates={"shaky": (1, 0)}),
            estimate=Estimate(duration_s=2.0),
        )
    if at == 305:
        put("night", "io.touch", 150, estimate=Estimate(duration_s=1.0))
    if at in (70, 130, 190):
        world.jobs.chain("rush", [draw.randint(2, 8) * GIB for _ in range(3)], fan=2)


def say(world: MixedWorld, at: int) -> None:
    """The operator's word on single jobs."""
    commands = world.ledger.commands
    if at in (100, 160):
        for state in ("waiting", "running"):
            for job_id in sorted(world.ledger.jobs.ids(state))[:2]:
                (commands.cancel if at == 100 else commands.requeue)(job_id)
    if at == 240:
        for state in ("dead", "review"):
            for job_id in sorted(world.ledger.jobs.ids(state))[:12]:
                commands.retry(job_id)


def befall_controls(world: MixedWorld, at: int) -> None:
    """Of the operator's pauses, APIs and the ledger."""
    control = world.ledger.control
    if at in (28, 41):
        control.set_paused("cpu", at == 28)
    if at in (33, 44):
        control.set_device_paused("alpha/gpu1", at == 33)
    if at in (50, 56):
        control.set_draining(at == 50)
    if at in (60, 82):
        control.set_draining(at == 60, "beta")
    if at in (20, 34, 122, 152):
        world.trouble = "down" if at == 20 else "refuses" if at == 122 else None
    if at in (40, 128, 156):
        world.ledger.calls.open_rate("shaky")
    if at in (284, 288):
        world.why_not = "Redis was emptied" if at == 284 else None
    if at == 268:
        control.set_paused("gpu", True)
    if at == 274:
        control.set_paused("gpu", False)


def befall_hosts(world: MixedWorld, at: int) -> None:
    hosts = world.hosts
    alpha, beta, gamma, delta = (hosts[name] for name in ("alpha", "beta", "gamma", "delta"))
    if at in (64, 90):
        alpha.foreign_mib["gpu0"] = 21_000 if at == 64 else 0
    if at in (75, 96, 210, 222):
        delta.is_silent = at in (96, 222)
        delta.devices[0] = replace(delta.devices[0], quarantined="it fell off the bus" if at == 75 else None)
    if at in (104, 118):
        fault = "not mounted: marker .conductor-mount is missing" if at == 104 else None
        alpha.volumes["published"] = replace(
            alpha.volumes["published"], fault=fault, is_writable=fault is None
        )
    if at == 238:
        # A queue stays whose device is gone, and a host without a card takes work of its lane.
        delta.devices = delta.devices[:2]
        gamma.add("gpu-gamma", "gpu", 1)
    if at in (146, 158):
        beta.dying = {"gpu-beta-gpu0": "exit 1: no CUDA"} if at == 146 else {}
    if at in (165, 180):
        gamma.is_silent = at == 165
    if at in (170, 185):
        opens = 55 * GIB if at == 170 else None
        alpha.volumes["scratch"] = replace(
            alpha.volumes["scratch"], opens_at_bytes=opens, free_bytes=(30 if opens else 60) * GIB
        )
    if at in (200, 230):
        alpha.more["measured"] = memory(65_536, 3_000 if at == 200 else 60_000)


def befall_all_hosts(world: MixedWorld, at: int) -> None:
    for host in world.hosts.values():
        if at in (290, 298):
            host.dying = {f"io-{host.name}": "exit 1: no such module"} if at == 290 else {}
        if at in (250, 262):
            host.is_silent = at == 250
