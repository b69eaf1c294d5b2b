"""What each mechanism of the running system buys: pairs in one run, with it and without it in turn.

Switched off from here: a conductor is started with another function in the place of its own, or an object is
handed another part. The product has no switch for it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import live_tick
import peer_env
import throughput
import tick
from ablation_plays import FULL, SCENES, PlayScene, instead, lying, prepared
from msgspec.structs import replace

from conductor.analysis.forecast.live_world import Known, by_area
from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.world import World
from conductor.core.admission.admission import decide
from conductor.core.needs.estimates import Policy
from conductor.core.needs.learned_amounts import BY_NAME
from conductor.model.limits import Limits
from conductor.model.report import Device, Measure, NodeReport, QueueReport, Volume
from conductor.model.snapshot import Candidate, Head, JobClass, Lookahead, Reservation, Snapshot
from conductor.model.spec import JobSpec, Needs
from conductor.tick import steps


class PairRow(NamedTuple):
    """Figures of the rounds, in order; `unit` of both."""

    without: str
    figure: str
    unit: str
    on: Sequence[float]
    off: Sequence[float]

    def told(self) -> dict[str, Any]:
        ratios = [off / on for on, off in zip(self.on, self.off, strict=True) if on]
        return {
            "without": self.without,
            "figure": f"{self.figure}, {self.unit}",
            "with": _spread(self.on),
            "without it": _spread(self.off),
            "÷": f"{median(ratios):.2f}" if ratios else "–",
            "pairs": len(self.on),
        }


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} – {max(values):.3g})"


def in_turn(
    rounds: int, on: Callable[[], float], off: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Who is first changes from round to round."""
    found: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds):
        for side in (0, 1) if n % 2 == 0 else (1, 0):
            found[side].append((on, off)[side]())
    return found


# ── the live system ───────────────────────────────────────────────────────────────────────────────────────


def successors(rounds: int) -> Iterator[PairRow]:
    def gap(measured: Callable[..., dict[str, Any]]) -> float:
        return float(measured(jobs=60)["p50"])

    on, off = in_turn(rounds, lambda: gap(throughput.successor), lambda: gap(throughput.gate))
    yield PairRow("successors", "from the end of one body to the start of the next", "ms", on, off)


class WithoutDepth(throughput.ThroughputBench):
    """Its conductor keeps the queues of short jobs as shallow as all others."""

    ABLATED = (
        "from conductor.tick import steps; steps.depths = lambda *a: {}; "
        "from conductor.__main__ import main; main()"
    )

    def _start(self, *words: str) -> None:
        if words[0] != "conduct":
            super()._start(*words)
            return
        argv = [sys.executable, "-P", "-c", self.ABLATED, *words]
        log = (self.settings.project / f"{words[0]}.out").open("wb")
        self._processes.append(subprocess.Popen(argv, cwd=self.settings.project, stdout=log, stderr=log))


def queue_depth(rounds: int) -> Iterator[PairRow]:
    def rate(kind: type[throughput.ThroughputBench]) -> float:
        bench = kind(throughput.new_folder(), cpu=2)
        with bench.open() as ledger:
            took = bench.run(ledger, [bench.spec("bench.noop") for _ in range(1500)])
        return 1500 / took["all_s"]

    on, off = in_turn(rounds, lambda: rate(throughput.ThroughputBench), lambda: rate(WithoutDepth))
    yield PairRow("deeper queues of short jobs", "no-op jobs", "a second", on, off)


def lookahead(rounds: int) -> Iterator[PairRow]:
    """100 classes, 1,000 jobs waiting: heads read as usual of every class, or as many as were taken."""

    def all_heads(look: Lookahead, *seen: object, **more: object) -> Lookahead:
        return Lookahead(heads=16, backlogs=look.backlogs)

    with tempfile.TemporaryDirectory(prefix="ablation-") as name, peer_env.shared_valkey(Path(name)) as url:

        def cost() -> float:
            folder = Path(tempfile.mkdtemp(dir=name))
            return float(live_tick.measured(folder, url, 1000, 20, 0, False)["all"])

        def cost_without() -> float:
            with instead(steps, "next_look", all_heads):
                return cost()

        on, off = in_turn(rounds, cost, cost_without)
    yield PairRow("reading few heads of a class", "CPU of a tick, 100 classes", "ms", on, off)


# ── a tick ────────────────────────────────────────────────────────────────────────────────────────────────


def incremental(rounds: int) -> Iterator[PairRow]:
    """Kept and afresh are asked at every tick, one after the other."""
    for scene in (tick.SCENES[1], tick.SCENES[2]):
        limits = tick.rule_of("live", scene)
        found = [list(tick.rows(scene, "live", limits, 7, "")) for _ in range(rounds)]
        on, off = ([row["cpu_ms"] for rows in found for row in rows if row["how"] == how] for how in HOW)
        yield PairRow("what is kept between ticks", f"CPU of a tick, {scene.name}", "ms", on, off)


HOW = ("kept", "afresh")

# ── a model kept warm ─────────────────────────────────────────────────────────────────────────────────────

DEVICES, MODELS, JOBS, BODY_S, LOAD_S = 4, 4, 400, 30.0, 20.0
#: Seconds between two arrivals: a little over half of what four devices can do.
GAP_S = 14.0


def affinity(rounds: int) -> Iterator[PairRow]:
    """Four devices, four models that take 20 s to load, bodies of 30 s that arrive one by one."""
    on, off = list[float](), list[float]()
    for seed in range(rounds):
        for side, is_told in ((on, True), (off, False)):
            side.append(_warm_run(random.Random(seed), is_told))
    yield PairRow(
        "going where the model is warm", "mean completion, 4 models that load 20 s on 4 devices", "s", on, off
    )


def _warm_run(draw: random.Random, is_told: bool) -> float:
    """Mean completion. Each device has one worker, which keeps the model of its last job."""
    at, waiting = 0.0, list[tuple[float, str, str]]()
    for n in range(JOBS):
        at += draw.expovariate(1 / GAP_S)
        waiting.append((at, f"j{n:04}", f"m{draw.randrange(MODELS)}"))
    warm, going = dict[str, str](), dict[str, tuple[float, Reservation, str]]()
    took_s, limits = 0.0, replace(Limits(depth={"gpu": 1}), place="least_loss")
    now = waiting[0][0]
    while waiting:
        for queue in [queue for queue, (end, *_) in going.items() if end <= now]:
            warm[queue] = going.pop(queue)[2]
        there = [job for job in waiting if job[0] <= now]
        heads: dict[str, list[Head]] = {}
        for since, job_id, model in there:
            heads.setdefault(model, []).append(Head(job_id=job_id, attempts=0, since=since))
        candidates = [
            Candidate(job_class=_class_of(model, is_told), waiting=len(some), heads=tuple(some))
            for model, some in heads.items()
        ]
        held = tuple(r for _, r, _ in going.values())
        seen = Snapshot(now=now, nodes=(_report(now, warm if is_told else {}),), reservations=held)
        for admission in decide(seen, candidates, limits).admit:
            job = next(job for job in there if job[1] == admission.reservation.job_id)
            waiting.remove(job)
            r = replace(admission.reservation, state="running", started_at=now, worker="w")
            end = now + BODY_S + (0.0 if warm.get(r.queue) == job[2] else LOAD_S)
            took_s += end - job[0]
            going[r.queue] = (end, r, job[2])
        events = [end for end, *_ in going.values()] + [job[0] for job in waiting if job[0] > now]
        now = min(events, default=now)
    return took_s / JOBS


def _class_of(model: str, is_told: bool) -> JobClass:
    needs = Needs(vram_mib=20_000, ram_mib=100, cpu=1.0)
    return JobClass(
        id=model,
        backlog="b",
        task="bench.infer",
        lane="gpu",
        needs=needs,
        duration_s=BODY_S,
        warm=model if is_told else "",
    )


def _report(now: float, warm: dict[str, str]) -> NodeReport:
    disk = {"path": "/", "total_bytes": 10**12, "free_bytes": 5 * 10**11, "is_writable": True}
    return NodeReport(
        node="n",
        host="n",
        sent_at=now,
        devices=tuple(
            Device(index=d, uuid=f"u{d}", name="x", vram_total_mib=24_576, vram_used_mib=300)
            for d in range(DEVICES)
        ),
        volumes=tuple(Volume(root=root, filesystem=root, **disk) for root in ("scratch", "published")),  # pyright: ignore[reportArgumentType]
        queues=tuple(
            QueueReport(
                queue=f"q{d}",
                lane="gpu",
                device=f"gpu{d}",
                workers=1,
                warm=(warm[f"q{d}"],) if f"q{d}" in warm else (),
            )
            for d in range(DEVICES)
        ),
        measured={"ram": Measure(total=262_144, free=240_000)},
        cpu_count=64.0,
    )


# ── what is learned, and what is foretold ─────────────────────────────────────────────────────────────────

#: Jobs ask for more than they take by at most so many times.
MOST_TOO_MUCH = 2.0


def learned(rounds: int) -> Iterator[PairRow]:
    """Jobs declare up to twice what they take. Learned: what they take times the policy's margin, where that
    is less; durations as they are."""
    for scene in SCENES:
        on, off = list[float](), list[float]()
        for seed in range(1, rounds + 1):
            for side, tell in ((on, _taught), (off, _too_much)):
                world = World(prepared(scene, seed, tell), cluster.reports(scene.nodes), FULL)
                world.run()
                ran = [job for job in world.jobs if job.end_s is not None]
                side.append(sum((job.end_s or 0.0) - job.arrival_s for job in ran) / len(ran))
        yield PairRow("learned needs and durations", f"mean completion, {scene.name}", "s", on, off)


def _too_much(spec: JobSpec, draw: random.Random) -> JobSpec:
    told = lying(spec, draw)
    assert told.needs is not None, "a trace says what a job took"
    device, host = cluster_sizes()
    vram = min(device, round(told.needs.vram_mib * draw.uniform(1.0, MOST_TOO_MUCH)))
    ram = min(host, round((told.needs.ram_mib or 0) * draw.uniform(1.0, MOST_TOO_MUCH)))
    return replace(told, needs=replace(told.needs, vram_mib=vram, ram_mib=ram))


def _taught(spec: JobSpec, draw: random.Random) -> JobSpec:
    declared = _too_much(spec, draw)
    assert declared.needs is not None, "a trace says what a job took"
    assert spec.needs is not None, "a trace says what a job took"
    margin, grain = Policy().margin, BY_NAME["vram_mib"].grain
    vram = -(-round(spec.needs.vram_mib * margin) // grain) * grain
    ram = -(-round((spec.needs.ram_mib or 0) * margin) // grain) * grain
    needs = replace(
        declared.needs,
        vram_mib=min(vram, declared.needs.vram_mib or 0),
        ram_mib=min(ram, declared.needs.ram_mib or 0),
    )
    return replace(spec, needs=needs)


def cluster_sizes() -> tuple[int, int]:
    """MiB of a device and of a host of the scenes."""
    kind = SCENES[0].nodes[0]
    return kind.devices[0].vram_mib, kind.ram_mib


def forecast(rounds: int) -> Iterator[PairRow]:
    """The end foretold at the start from estimates that lie, played through or added up, against the end."""
    for scene in (scene for scene in SCENES if not scene.speed):
        on, off, cpu = list[float](), list[float](), list[float]()
        for seed in range(1, rounds + 1):
            took_s = _ended(scene, prepared(scene, seed))
            began = time.process_time()
            foretold = prepared(scene, seed)
            for job in foretold.jobs:
                job.duration_s = job.job_class.duration_s
            on.append(100 * abs(_ended(scene, foretold) / took_s - 1))
            cpu.append(time.process_time() - began)
            off.append(100 * abs(_added_up(scene, seed) / took_s - 1))
        title = f"error of the end, {scene.name}, {median(cpu):.1f} s of CPU a play"
        yield PairRow("a forecast that is played", title, "%", on, off)


def _ended(scene: PlayScene, workload: Any) -> float:
    world = World(workload, cluster.reports(scene.nodes), FULL)
    world.run()
    return max(job.end_s or 0.0 for job in world.jobs)


def _added_up(scene: PlayScene, seed: int) -> float:
    """As the forecast does with more jobs than it plays."""
    waiting: dict[str, tuple[JobClass, int]] = {}
    for job in prepared(scene, seed).jobs:
        waiting[job.job_class.id] = (job.job_class, waiting.get(job.job_class.id, (None, 0))[1] + 1)
    candidates = [Candidate(job_class=c, waiting=n, heads=()) for c, n in waiting.values()]
    snapshot = Snapshot(now=0.0, nodes=cluster.reports(scene.nodes))
    total = sum(candidate.waiting for candidate in candidates)
    return by_area(snapshot, FULL, candidates, total, Known(teach=lambda c: c)).ends_at or 0.0


PARTS: dict[str, Callable[[int], Iterator[PairRow]]] = {
    "affinity": affinity,
    "learned": learned,
    "forecast": forecast,
    "incremental": incremental,
    "lookahead": lookahead,
    "successors": successors,
    "depth": queue_depth,
}
