"""What more hardware or quota would gain: the same jobs played through with one thing more, each in its turn.

Durations are those of what there is: a faster GPU is not thought of, one more of the same is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from conductor.analysis.simulation.cluster import SCRATCH
from conductor.analysis.simulation.rule import Rule, words
from conductor.analysis.simulation.world import World
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.text import duration, many, table
from conductor.model.pilot import PilotShape
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.spec import Value

Nodes = tuple[NodeReport, ...]
Budgets = Mapping[str, Rate]
#: Plays all jobs on these nodes and budgets.
Play = Callable[[Nodes, Budgets], World]

GB = 1_000_000_000
#: Of a pilot that is not there yet: as nodes have them by default (`conductor.node.queue_plan`).
GPU_WORKERS, IO_WORKERS, CLOUD_WORKERS = 2, 2, 4


class PlayOutcome(Value, frozen=True, kw_only=True):
    """One play. `never`: jobs that cannot run at all there."""

    makespan_s: float
    done: int
    never: int
    #: Gate → seconds, over all jobs, that it held one back; gates that are closed together count each.
    lost_s_by_gate: dict[str, float] = {}


class Offer(Value, frozen=True, kw_only=True):
    """One thing more. `sooner_s` negative: later, for the order in which jobs find room is another."""

    what: str
    words: str
    makespan_s: float
    sooner_s: float
    #: Of the makespan as it is.
    share: float
    #: Jobs that could run then, and cannot now.
    more_done: int = 0


class Price(Value, frozen=True, kw_only=True):
    jobs: int
    #: What every play decided by.
    rule: Rule
    as_is: PlayOutcome
    offers: tuple[Offer, ...]
    #: Live: gate → seconds that it has held at least one class of the backlog so far, by the gate ledger.
    recorded_lost_s: dict[str, float] = {}
    notes: tuple[str, ...] = ()


class Wish(Value, frozen=True, kw_only=True):
    """How much more of each. `gpu_mib` 0: as the largest there is. `shapes`: engine with pilots → what one
    of them brings."""

    gpus: int = 1
    gpu_mib: int = 0
    scratch_bytes: int = 500 * GB
    quota: float = 2.0
    hosts: int = 1
    pilots: int = 1
    shapes: dict[str, PilotShape] = {}


def price(play: Play, nodes: Nodes, budgets: Budgets, wish: Wish, rule: Rule) -> Price:
    """Play it as it is, then with each wish by itself."""
    base, notes = outcome(play(nodes, budgets)), list[str]()
    offers = [
        offer(what, words, outcome(play(*changed)), base)
        for what, words, changed in changes(nodes, budgets, wish, notes)
    ]
    jobs = base.done + base.never
    return Price(jobs=jobs, rule=rule, as_is=base, offers=tuple(offers), notes=tuple(notes))


def outcome(world: World) -> PlayOutcome:
    ends = [job.end_s for job in world.jobs if job.end_s is not None]
    began = world.began_at
    return PlayOutcome(
        makespan_s=round(max(ends, default=began) - began, 3),
        done=world.done,
        never=len(world.jobs) - world.done,
        lost_s_by_gate={gate: round(seconds, 3) for gate, seconds in sorted(world.held_s.items())},
    )


def offer(what: str, words: str, found: PlayOutcome, base: PlayOutcome) -> Offer:
    sooner = base.makespan_s - found.makespan_s
    return Offer(
        what=what,
        words=words,
        makespan_s=found.makespan_s,
        sooner_s=round(sooner, 3),
        share=round(sooner / base.makespan_s, 4) if base.makespan_s else 0.0,
        more_done=found.done - base.done,
    )


# ── one thing more ────────────────────────────────────────────────────────────────────────────────────────


def changes(
    nodes: Nodes, budgets: Budgets, wish: Wish, notes: list[str]
) -> Iterator[tuple[str, str, tuple[Nodes, Budgets]]]:
    """(name, words, what there would be). What makes no sense here is left out, and noted."""
    if (host := gpu_host(nodes)) is None:
        notes.append(
            "no GPU is there, so nothing tells what jobs would take on one: one GPU more is not offered"
        )
    else:
        mib = wish.gpu_mib or max(d.vram_total_mib for d in host.devices)
        gpus = f"{many(wish.gpus, 'more GPU')} of {mib / 1024:.0f} GiB in {host.node}"
        yield "gpu", gpus, (replaced(nodes, with_gpus(host, wish.gpus, mib)), budgets)
    if nodes:
        more = tuple(with_scratch(node, wish.scratch_bytes) for node in nodes)
        yield "scratch", f"{wish.scratch_bytes / GB:.0f} GB more scratch on each host", (more, budgets)
    if budgets:
        yield (
            "quota",
            f"{wish.quota:g} × the quota of {', '.join(sorted(budgets))}",
            (nodes, times(budgets, wish.quota)),
        )
    else:
        notes.append("no API has a configured quota (rates.KEY): more of it is not offered")
    if (cpu := cpu_host(nodes)) is not None:
        more = (*nodes, *(cpu_only(cpu, f"{cpu.node}-more-{n}") for n in range(wish.hosts)))
        yield "host", f"{many(wish.hosts, 'more CPU host')} like {cpu.node}", (more, budgets)
        for engine, shape in wish.shapes.items():
            more = (*nodes, *(a_pilot(shape, f"{engine}-more-{n}", cpu) for n in range(wish.pilots)))
            brings = f"{many(shape.cpus, 'core')}, {shape.ram_mib / 1024:.0f} GiB{_gpus_of(shape)}"
            offered = f"{many(wish.pilots, 'more pilot')} of {engine} ({brings})"
            yield f"pilot:{engine}", offered, (more, budgets)
    if wish.shapes:
        notes.append("a pilot is counted from the start, though it waits for its engine first")


def gpu_host(nodes: Nodes) -> NodeReport | None:
    """Where the largest device is."""
    able = [node for node in nodes if node.devices]
    return max(able, key=lambda node: max(d.vram_total_mib for d in node.devices), default=None)


def cpu_host(nodes: Nodes) -> NodeReport | None:
    """The one with most cores."""
    return max(nodes, key=lambda node: node.cpu_count, default=None)


def replaced(nodes: Nodes, other: NodeReport) -> Nodes:
    return tuple(other if node.node == other.node else node for node in nodes)


def with_gpus(node: NodeReport, count: int, vram_mib: int) -> NodeReport:
    """Devices of that size, empty, each with as many workers as the others have."""
    first = max((d.index for d in node.devices), default=-1) + 1
    workers = max((q.workers for q in node.queues if q.device is not None), default=GPU_WORKERS)
    devices = [
        Device(index=i, uuid=f"more-{i}", name="one more", vram_total_mib=vram_mib, vram_used_mib=0)
        for i in range(first, first + count)
    ]
    queues = [
        QueueReport(queue=f"gpu-{node.node}-{d.key}", lane="gpu", device=d.key, workers=workers)
        for d in devices
    ]
    return msgspec.structs.replace(node, devices=(*node.devices, *devices), queues=(*node.queues, *queues))


def with_scratch(node: NodeReport, size: int) -> NodeReport:
    return msgspec.structs.replace(
        node, volumes=tuple(_larger(v, size) if v.root == SCRATCH else v for v in node.volumes)
    )


def _larger(volume: Volume, size: int) -> Volume:
    """On a file system of its own: it is another disk."""
    total, free = volume.total_bytes, volume.free_bytes
    return msgspec.structs.replace(
        volume,
        total_bytes=None if total is None else total + size,
        free_bytes=None if free is None else free + size,
        filesystem=None,
    )


def times(budgets: Budgets, factor: float) -> Budgets:
    def more(amount: int | None) -> int | None:
        return None if amount is None else max(1, round(amount * factor))

    return {
        key: msgspec.structs.replace(
            rate,
            requests_per_min=more(rate.requests_per_min),
            tokens_per_min=more(rate.tokens_per_min),
            usd_per_day=None if rate.usd_per_day is None else rate.usd_per_day * factor,
        )
        for key, rate in budgets.items()
    }


def cpu_only(node: NodeReport, name: str) -> NodeReport:
    """The same host without its GPUs, under another name."""
    queues = tuple(
        msgspec.structs.replace(q, queue=f"{q.lane}-{name}") for q in node.queues if q.device is None
    )
    return msgspec.structs.replace(node, node=name, host=name, devices=(), queues=queues)


def a_pilot(shape: PilotShape, name: str, like: NodeReport) -> NodeReport:
    """A node as an engine would bring it, with the roots and the code of one that is there."""
    workers = {"cpu": shape.cpus, "io": IO_WORKERS, "cloud": CLOUD_WORKERS}
    queues = [
        QueueReport(queue=f"{lane}-{name}", lane=lane, workers=workers[lane])
        for lane in shape.lanes
        if lane != "gpu"
    ]
    bare = msgspec.structs.replace(
        like,
        node=name,
        host=name,
        devices=(),
        queues=tuple(queues),
        cpu_count=float(shape.cpus),
        measured={"ram": Measure(total=shape.ram_mib, free=shape.ram_mib)},
        is_draining=False,
        obstacles=(),
        ends_at=None,
    )
    has_gpus = shape.devices and "gpu" in shape.lanes
    return with_gpus(bare, shape.devices, shape.vram_mib) if has_gpus else bare


def _gpus_of(shape: PilotShape) -> str:
    return f", {many(shape.devices, 'GPU')} of {shape.vram_mib / 1024:.0f} GiB" if shape.devices else ""


# ── in words ──────────────────────────────────────────────────────────────────────────────────────────────


def lines(found: Price) -> list[str]:
    base = found.as_is
    never = f"; {many(base.never, 'job')} can never run there" if base.never else ""
    out = [f"{many(found.jobs, 'job')}, {duration(base.makespan_s)} as it is{never}"]
    if base.lost_s_by_gate:
        lost = sorted(base.lost_s_by_gate.items(), key=lambda item: -item[1])
        out.append(
            "waited for, added up over the jobs: " + ", ".join(f"{gate} {duration(s)}" for gate, s in lost)
        )
    if found.recorded_lost_s:
        held = sorted(found.recorded_lost_s.items(), key=lambda item: -item[1])
        out.append(
            "held so far, by the gate ledger: " + ", ".join(f"{gate} {duration(s)}" for gate, s in held)
        )
    out.append(f"decided by: {words(found.rule)}")
    rows = [("with", "takes", "sooner by", "")]
    rows += [(o.words, duration(o.makespan_s), _sooner(o), _more(o)) for o in found.offers]
    return [*out, "", *table(rows, indent=""), *(f"note: {note}" for note in found.notes)]


def _sooner(found: Offer) -> str:
    if abs(found.share) < 0.0005:
        return "nothing"
    sign = "" if found.sooner_s >= 0 else "-"
    return f"{sign}{duration(abs(found.sooner_s))} ({100 * found.share:.1f} %)"


def _more(found: Offer) -> str:
    return f"and {many(found.more_done, 'job')} more can run" if found.more_done > 0 else ""
