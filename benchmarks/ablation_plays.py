"""What each mechanism of the decision buys on the traces: the same work played with it and without it.

A mechanism is switched off from here, by other limits or by another object in its place for the time of one
play: the product has no switch for it. Estimates lie by up to half, drawn anew for each seed, so that a
figure has a spread; those of seed 0 are true.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import packing
from decision import CATALOGUE, HERE, HOST, LIVE, MB
from msgspec.structs import replace

from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.figures import Figures, figures
from conductor.analysis.simulation.policies import DEFAULT, limits_of
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.core.ordering import orders
from conductor.core.placement import workload_mix
from conductor.model.limits import Limits
from conductor.model.spec import JobSpec
from workflows.trace.forms import specs

#: The rule of a conductor without settings of its own, and the same without `[waiting]`.
FULL = limits_of(DEFAULT, live=LIVE)
BARE = replace(FULL, aging_s=None, overdue_s=None, keep_after_s=None)
#: An estimate is the true duration times something between these.
LEAST, MOST = 0.5, 1.5
#: Of a cluster that is filled: so many nodes of openb's, few enough for the live conductor to pack by worth.
FILLED = 60


@contextmanager
def instead(owner: Any, name: str, other: object) -> Generator[None]:
    """`other` in the place of what `owner` has under that name."""
    own = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, own)


def _never(*asked: object) -> bool:
    return False


Swap = Callable[[], AbstractContextManager[None]]
#: Nothing that waits is little enough for it: then the shortest goes first.
no_rehearsal: Swap = partial(instead, orders, "MOST_ITEMS", 0)
#: Nobody has waited longer than the work there is explains: no place is kept for one.
no_guard: Swap = partial(instead, orders.Orders, "is_overdue", _never)
#: A share of a device counts like a whole one among the usual kinds.
no_weight: Swap = partial(instead, workload_mix, "WEIGHT_OF_SHARES", 1.0)


class Mechanism(NamedTuple):
    """`without`: the limits that lack it; `swapped`: what stands in its place meanwhile; `alike`: on both
    sides.
    """

    name: str
    on: Limits
    without: Limits
    swapped: Swap = nullcontext
    alike: Swap = nullcontext


MECHANISMS = (
    Mechanism("rehearsed orders", FULL, FULL, no_rehearsal),
    Mechanism("rehearsed orders, no `[waiting]`", BARE, BARE, no_rehearsal),
    Mechanism(
        "the guard of the shortest, no `[waiting]`, nothing rehearsed", BARE, BARE, no_guard, no_rehearsal
    ),
    Mechanism("backfill reservations (`keep_after_s`)", FULL, replace(FULL, keep_after_s=None)),
    Mechanism("overdue first (`overdue_s`)", FULL, replace(FULL, overdue_s=None)),
    Mechanism("largest or shortest first (`auto`)", FULL, replace(FULL, order="oldest")),
    Mechanism("packing by worth", FULL, replace(FULL, place="tightest")),
)
WAY_OUT = Mechanism("a way out kept for chains", FULL, replace(FULL, is_safe=False))


class PlayScene(NamedTuple):
    """One trace on one cluster. `speed`: arrivals so many times as fast; 0: all is there at once."""

    name: str
    trace: Path
    nodes: tuple[cluster.NodeKind, ...]
    speed: float


def hosts(count: int, devices: int) -> tuple[cluster.NodeKind, ...]:
    return (replace(HOST, count=count, devices=HOST.devices * devices),)


MIXED, SHARES = HERE / "onehost_default_200.jsonl", HERE / "onehost_gpushare40_500.jsonl"
SCENES = (
    PlayScene("default 200, batch", MIXED, (HOST,), 0.0),
    PlayScene("gpushare40 500, batch", SHARES, (HOST,), 0.0),
    PlayScene("gpushare40 500, batch, 2 × 2 devices", SHARES, hosts(2, 2), 0.0),
    PlayScene("default 200, online", MIXED, (HOST,), 1.0),
    PlayScene("gpushare40 500, online", SHARES, (HOST,), 1.0),
    PlayScene("gpushare40 500, online, 2 × 2 devices", SHARES, hosts(2, 2), 4.0),
)


def disks() -> Iterator[PlayScene]:
    """Real workflows on the smallest disk on which an order was found, and on one of three quarters of what
    they would like."""
    for entry in json.loads((HERE / "wf" / "expected.json").read_text()):
        serial = entry["serial_peak_MB"] * 1.05
        for size in {serial, max(serial, entry["peak_MB"] * 0.75)}:
            kind = cluster.NodeKind(name="host", cpu_milli=16_000, scratch_bytes=int(size * MB))
            yield PlayScene(entry["file"], HERE / "wf" / f"{entry['file']}.json", (kind,), 0.0)


@cache
def jobs_of(trace: Path) -> tuple[JobSpec, ...]:
    return tuple(specs(trace))


Draw = Callable[[JobSpec, random.Random], JobSpec]


def lying(spec: JobSpec, draw: random.Random) -> JobSpec:
    assert spec.estimate is not None, "a trace says how long a job took"
    told_s = spec.estimate.duration_s * draw.uniform(LEAST, MOST)
    return replace(spec, estimate=replace(spec.estimate, duration_s=told_s))


def prepared(scene: PlayScene, seed: int, tell: Draw = lying) -> Workload:
    """The jobs, with what the seed's draw says of them; they take what they took."""
    draw, told, true = random.Random(seed), list[JobSpec](), dict[str, float]()
    for spec in jobs_of(scene.trace):
        assert spec.estimate is not None, "a trace says how long a job took"
        true[spec.id] = spec.estimate.duration_s
        args = {**spec.args, "arrival_s": spec.args.get("arrival_s", 0.0) / (scene.speed or 1.0)}
        told.append(replace(tell(spec, draw) if seed else spec, args=args))
    workload = Workload(told, CATALOGUE, is_batch=not scene.speed)
    for job in workload.jobs:
        job.duration_s = true[job.id]
    return workload


def play(scene: PlayScene, limits: Limits, workload: Workload) -> Figures:
    world = World(workload, cluster.reports(scene.nodes), limits)
    world.run()
    return figures(world, 0.0, DEFAULT)


# ── the rows ──────────────────────────────────────────────────────────────────────────────────────────────

#: Column → field of the figures.
MEASURES = {
    "makespan": "makespan_s",
    "mean wait": "mean_wait_s",
    "p99 wait": "p99_wait_s",
    "longest wait": "max_wait_s",
    "mean completion": "mean_jct_s",
    "VRAM use": "vram_utilisation",
}
Pair = tuple[Figures, Figures]


#: Seeds after which a mechanism that changed nothing is let be.
TRIED = 2


class Plays:
    """Remembers what was played with everything in its place: many mechanisms are held against it."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._known: dict[tuple[str, int, int, int], Figures] = {}

    def pair(self, mechanism: Mechanism, scene: PlayScene, seed: int) -> Pair:
        name = (f"{scene.name} {scene.nodes}", seed, id(mechanism.on), id(mechanism.alike))
        with mechanism.alike():
            if name not in self._known:
                self._known[name] = play(scene, mechanism.on, prepared(scene, seed))
            with mechanism.swapped():
                return self._known[name], play(scene, mechanism.without, prepared(scene, seed))

    def row(self, mechanism: Mechanism, scene: PlayScene) -> dict[str, Any] | None:
        """None: the mechanism changes nothing there."""
        pairs = list[Pair]()
        for seed in range(self._seeds):
            pairs.append(self.pair(mechanism, scene, seed))
            if seed == TRIED - 1 and all(one == other for one, other in map(numbers, pairs)):
                return None
        return row(mechanism.name, scene.name, pairs)


def rows(seeds: int, traces: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each mechanism and each scene in which it changes anything."""
    plays = Plays(seeds)
    if traces is not None:
        yield from filled(traces / "openb", seeds)
    small = [plays.pair(WAY_OUT, scene, seed) for scene in disks() for seed in range(TRIED)]
    yield row(WAY_OUT.name, "six workflows, two sizes of disk", small)
    for mechanism in MECHANISMS:
        for scene in SCENES:
            if (found := plays.row(mechanism, scene)) is not None:
                yield found


def numbers(pair: Pair) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(getattr(one, field) for field in MEASURES.values()) for one in pair)


def row(name: str, scene: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Each measure without it ÷ with it, of runs that end; and what never ended, or ran out of memory."""
    ending = [one for one in pairs if not any(figures.deadlocked for figures in one)]
    found: dict[str, Any] = {"without": name, "on": scene}
    for measure, field in MEASURES.items():
        both = [(getattr(on, field), getattr(off, field)) for on, off in ending]
        found[measure] = spread([off / on for on, off in both if on])
    bad = [sum(figures.deadlocked + figures.oom for figures in side) for side in zip(*pairs, strict=True)]
    found["never ended or out of memory"] = f"{bad[0]} → {bad[1]}"
    return found


def spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "–"
    return f"{median(ratios):.3f} ({min(ratios):.2f} – {max(ratios):.2f})"


def filled(folder: Path, seeds: int) -> Iterator[dict[str, Any]]:
    """A cluster filled with shares of GPUs to 130 %: what is allocated of it."""
    source, all_nodes = packing.pods(folder), packing.nodes(folder)
    found: dict[str, list[float]] = {"packing by worth": [], "the weight of shares in it": []}
    for seed in range(seeds):
        some = tuple(random.Random(seed).sample(all_nodes, FILLED))
        with_it = packing.fill(source, some, "least_loss", seed)[1]
        found["packing by worth"].append(packing.fill(source, some, "tightest", seed)[1] / with_it)
        with no_weight():
            unweighted = packing.fill(source, some, "least_loss", seed)[1]
        found["the weight of shares in it"].append(unweighted / with_it)
    for name, ratios in found.items():
        scene = f"openb, {FILLED} nodes drawn, filled to 130 %"
        yield {"without": name, "on": scene, "VRAM use": spread(ratios)}
