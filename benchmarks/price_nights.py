"""Is `conductor price` right: `python benchmarks/price_nights.py [--nights 10] [--json FILE]`.

Each night is a seed: jobs drawn from a trace for one host with a GPU, or four runs of one of six real
workflows on a disk that is short. How long jobs take is known from the receipts of an earlier night with
other jobs of the same kinds, by a size that says it roughly. `price` is asked at the start. Then the night
is played with what each job really takes, as it is and with the thing more. Simulated seconds: the load of
the machine changes nothing.

`off`: the time that was named against the time that it took. `gain`: what the thing more saves, as a part of
the night, as it was named (and as it came). Exit code 1: a night is off by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ablation_plays import MIXED, SHARES, jobs_of
from decision import CATALOGUE, HERE, HOST, LIVE, MB
from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.forecast.live_world import Known, LiveWorkload, world_of
from conductor.analysis.one_more import GB, Budgets, Nodes
from conductor.analysis.price import Offer, PlayOutcome, Wish, price
from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.policies import DEFAULT, limits_of
from conductor.analysis.simulation.rule import rule_of
from conductor.analysis.simulation.world import World
from conductor.core.needs.estimates import LearnedNeeds
from conductor.core.needs.samples import Memory
from conductor.model.job_class import JobClass, class_of, named, step_up
from conductor.model.receipt import AdmittedNeeds, Receipt
from conductor.model.snapshot import Snapshot
from conductor.model.spec import Estimate, JobSpec, to_line

REACH = 0.10
#: Jobs of a night of traces, and of the nights before it.
TONIGHT, BEFORE = 120, 240
#: How far a size is off the time that a job takes, and how far a job is off what it took another night: the
#: standard deviation of the logarithm.
BY_SIZE, BY_NIGHT = 0.15, 0.1
#: So many runs of a workflow are a night's, on so much of the disk that they would fill together.
COPIES, OF_THEIR_PEAK = 4, 0.4
LIMITS = limits_of(DEFAULT, live=LIVE)
NOW = 1_800_000_000.0


class PricedNight(NamedTuple):
    """`thing`: what one more of is asked for. `before`: jobs that ran another night."""

    name: str
    thing: str
    nodes: Nodes
    tonight: tuple[TimedSpec, ...]
    before: tuple[TimedSpec, ...]


class TimedSpec(NamedTuple):
    """A line with its class, and what the job takes: seconds."""

    spec: JobSpec
    job_class: JobClass
    took_s: float


def gpu_night(seed: int) -> PricedNight:
    """Kinds by what they ask of the device."""
    draw, trace = random.Random(f"gpu {seed}"), (MIXED, SHARES)[seed % 2]

    def timed(spec: JobSpec) -> TimedSpec:
        assert spec.needs is not None, "a trace says what a job takes"
        share = round(4 * (spec.needs.vram_mib or 0) / HOST.devices[0].vram_mib)
        return with_size(spec, f"quarters-{share}", seconds_of(spec), draw)

    drawn = [timed(spec) for spec in draw.choices(jobs_of(trace), k=BEFORE)]
    tonight = tuple(timed(spec) for spec in draw.sample(jobs_of(trace), TONIGHT))
    return PricedNight(f"{trace.stem} #{seed}", "gpu", cluster.reports((HOST,)), tonight, tuple(drawn))


def disk_night(seed: int) -> PricedNight:
    """Kinds by the program that a step runs; each night takes a little more or less for each."""
    found = json.loads((HERE / "wf" / "expected.json").read_text())
    entry, draw = found[seed % len(found)], random.Random(f"disk {seed}")
    size = max(entry["serial_peak_MB"] * 1.05, entry["peak_MB"] * COPIES * OF_THEIR_PEAK)
    kind = cluster.NodeKind(name="host", cpu_milli=16_000, scratch_bytes=int(size * MB))

    def timed(spec: JobSpec) -> TimedSpec:
        program = str(spec.args["name"]).rstrip("0123456789_ID")
        took_s = seconds_of(spec) * math.exp(draw.gauss(0.0, BY_NIGHT))
        return with_size(spec, program, took_s, draw)

    once = jobs_of(HERE / "wf" / f"{entry['file']}.json")
    specs = [spec for letter in "abcdefgh"[:COPIES] for spec in copied(once, letter)]
    before = tuple(timed(spec) for spec in specs)
    name = f"{entry['file'].partition('-')[0]} #{seed}"
    return PricedNight(
        name, "scratch", cluster.reports((kind,)), tuple(timed(spec) for spec in specs), before
    )


def copied(specs: Sequence[JobSpec], letter: str) -> Iterator[JobSpec]:
    """The same steps as other jobs, with files of their own."""

    def id_of(job_id: str) -> str:
        return job_id[:-1] + letter

    def path_of(path: str) -> str:
        return path.replace(":", f":{letter}-", 1)

    for spec in specs:
        yield replace(
            spec,
            id=id_of(spec.id),
            after=tuple(map(id_of, spec.after)),
            reads=tuple(map(path_of, spec.reads)),
            writes=tuple(replace(output, path=path_of(output.path)) for output in spec.writes),
        )


def seconds_of(spec: JobSpec) -> float:
    assert spec.estimate is not None, "a trace says how long a job took"
    return max(1.0, spec.estimate.duration_s)


def with_size(spec: JobSpec, kind: str, took_s: float, draw: random.Random) -> TimedSpec:
    """Its line declares a size, and no time."""
    size = took_s * math.exp(draw.gauss(0.0, BY_SIZE))
    bare = replace(spec, estimate=Estimate(size=size))
    plain = class_of(bare, CATALOGUE[spec.task], "night")
    return TimedSpec(bare, named(replace(plain, kind=kind, size=step_up(size))), took_s)


def learned(night: PricedNight) -> LearnedNeeds:
    memory = Memory()
    for n, (spec, job_class, took_s) in enumerate(night.before):
        asked = AdmittedNeeds(kind=job_class.kind, size=job_class.size, needs=job_class.needs)
        memory.learn(
            Receipt(
                v=1, job_id=f"job-{n:08d}", attempt=1, workflow=spec.workflow, task=spec.task, outcome="ok",
                started_at=n, ended_at=n + took_s, node="host", worker="w", code_version="1", asked=asked,
            )
        )  # fmt: skip
    return LearnedNeeds(memory, CATALOGUE)


# ── asked, and then played ────────────────────────────────────────────────────────────────────────────────


def rows(nights: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each with whether it is within reach."""
    for seed in range(nights):
        for night in (gpu_night(seed), disk_night(seed)):
            yield answered(night)


def answered(night: PricedNight) -> tuple[dict[str, Any], bool]:
    past = learned(night)
    known = Known(teach=lambda c: replace(c, duration_s=past.duration_s(c)))
    pending = [waiting(n, timed) for n, timed in enumerate(night.tonight)]
    took_s = {timed.spec.id: timed.took_s for timed in night.tonight}
    disk = sum(output.bytes for timed in night.tonight for output in timed.spec.writes)
    wish = Wish(scratch_bytes=max(disk, GB))
    asked = price(plays(pending, known, {}), night.nodes, {}, wish, rule_of(DEFAULT, LIMITS))
    came = price(plays(pending, known, took_s), night.nodes, {}, wish, rule_of(DEFAULT, LIMITS))
    named, real = offer_of(asked.offers, night.thing), offer_of(came.offers, night.thing)
    off, as_is = named.makespan_s / real.makespan_s - 1, off_by(asked.as_is, came.as_is)
    found = {
        "night": night.name,
        "one more": night.thing,
        "as it is: named_s": asked.as_is.makespan_s,
        "took_s": came.as_is.makespan_s,
        "off": f"{as_is:+.1%}",
        "with it: named_s": named.makespan_s,
        "with it took_s": real.makespan_s,
        "with it off": f"{off:+.1%}",
        "gain": f"{named.share:.1%} ({real.share:.1%})",
    }
    return found, max(abs(off), abs(as_is)) <= REACH


def off_by(named: PlayOutcome, real: PlayOutcome) -> float:
    return named.makespan_s / real.makespan_s - 1


def offer_of(offers: Sequence[Offer], what: str) -> Offer:
    return next(offer for offer in offers if offer.what == what)


def waiting(n: int, timed: TimedSpec) -> Pending:
    return Pending(
        job_id=timed.spec.id, state="waiting", attempts=0, seq=n, since=NOW, job_class=timed.job_class,
        line=to_line(timed.spec),
    )  # fmt: skip


def plays(pending: Sequence[Pending], known: Known, took_s: dict[str, float]) -> Any:
    """`took_s`: what a job really takes; empty: what is expected of it. It is decided by what is expected."""

    def play(nodes: Nodes, budgets: Budgets) -> World:
        snapshot = Snapshot(now=NOW, nodes=nodes)
        load = LiveWorkload(pending, snapshot, known)
        for job in load.jobs:
            job.duration_s = took_s.get(job.id, job.duration_s)
        world = world_of(load, snapshot, LIMITS, {})
        world.run()
        return world

    return play


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found: list[tuple[dict[str, Any], bool]] = []
    for row, is_met in rows(options.nights):
        found.append((row, is_met))
        print("  ".join(map(str, row.values())), "" if is_met else "  MISSED", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([row for row, _ in found]), encoding="utf-8")
    return int(not all(is_met for _, is_met in found))


if __name__ == "__main__":
    sys.exit(main())
