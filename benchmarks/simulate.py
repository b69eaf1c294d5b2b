"""How long `simulate` takes for a long manifest: `python benchmarks/simulate.py [--jobs 1000000] [--nodes
1000]`.

A seeded workload of 100 sorts of jobs (shares of a device, whole ones, several, none), 60 s to an hour, on
nodes of 8 devices, arriving so that 95 % of what is scarcest is asked for (--load); --batch: all of it waits
from the start. Prints seconds, peak RSS and what came of the jobs.

More than 100,000 jobs on more than 64 nodes are decided once in a simulated second (`Limits.tick_s`), not at
every event; --events: at every event all the same. What that changes, 50,000 jobs on 200 nodes, events →
seconds:

    --load 0.95  makespan 22,067.8 → 22,068.2 s, mean wait 0.0 → 0.42 s, most 0.0 → 1.0 s
    --load 1.3   makespan 19,323 → 19,526 s (the bound: 17,086), mean wait 27.4 → 33.7 s, most 5,217 → 6,141 s
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from conductor.analysis.simulation import world
from conductor.analysis.simulation.run import simulate
from conductor.base.progress import Progress
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.spec import Estimate, JobSpec, Needs, to_line

SORTS, LOAD, SEED = 100, 0.95, 11
DEVICES, VRAM_MIB, CPU_MILLI, RAM_MIB = 8, 24_576, 64_000, 262_144


class JobSort(NamedTuple):
    needs: Needs
    duration_s: float

    def share(self, nodes: int) -> float:
        """Of the whole, what it takes of what it takes most of."""
        n = self.needs
        vram = n.vram_mib * (n.devices if n.vram_mib else 0) / (VRAM_MIB * DEVICES)
        return max(vram, n.cpu * 1000 / CPU_MILLI, n.ram_mib / RAM_MIB) / nodes


def sorts(draw: random.Random) -> list[JobSort]:
    found: list[JobSort] = []
    for i in range(SORTS):
        devices = 1 if i % 10 else draw.choice((2, 4, 8))
        vram = 0 if i % 5 == 4 else VRAM_MIB - 1024 if i % 5 == 3 else draw.randrange(2_000, 12_000, 500)
        needs = Needs(
            vram_mib=vram,
            devices=devices,
            cpu=draw.choice((1.0, 2.0, 4.0)),
            ram_mib=draw.randrange(1_000, 16_000, 500),
        )
        found.append(JobSort(needs, round(60 * 60 ** draw.random(), 1)))
    return found


def write(file: Path, jobs: int, nodes: int, load: float = LOAD) -> None:
    draw = random.Random(SEED)
    kinds = sorts(draw)
    work = sum(kind.share(nodes) * kind.duration_s for kind in kinds) / len(kinds)
    at = 0.0
    with file.open("wb") as out:
        for n in range(jobs):
            at += draw.expovariate(load / work)
            kind = draw.choice(kinds)
            spec = JobSpec(
                v=1,
                id=f"bench{n:08}",
                workflow="bench",
                task="trace.job",
                lane="gpu" if kind.needs.vram_mib else "cpu",
                args={"arrival_s": round(at, 3)},
                needs=kind.needs,
                estimate=Estimate(duration_s=kind.duration_s),
            )
            out.write(to_line(spec) + b"\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--policy", default="auto")
    parser.add_argument("--load", type=float, default=LOAD)
    parser.add_argument("--batch", action="store_true")
    parser.add_argument("--events", action="store_true", help="one decision an event, however many there are")
    parser.add_argument("--seconds", action="store_true", help="one decision a second, however few there are")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.events or given.seconds:
        world.MANY_MORE = 0 if given.seconds else given.jobs
    with tempfile.TemporaryDirectory(prefix="simulate-") as name:
        manifest, cluster = Path(name) / "bench.jsonl", Path(name) / "cluster.toml"
        write(manifest, given.jobs, given.nodes, given.load)
        devices = ", ".join([f"{{vram_mib = {VRAM_MIB}}}"] * DEVICES)
        cluster.write_text(
            f'[[node]]\nname = "n"\ncount = {given.nodes}\ncpu_milli = {CPU_MILLI}\nram_mib = {RAM_MIB}\n'
            f"devices = [{devices}]\n"
        )
        wall, cpu = time.monotonic(), time.process_time()
        with Progress() as progress:
            found = simulate(
                manifest,
                cluster,
                load_catalogue(),
                limits_of(Settings()),
                is_batch=given.batch,
                policy=given.policy,
                on_read=progress.counted("reading", "job"),
                on_ended=progress.of("playing", "job"),
            ).figures
        row = {
            "wall_s": round(time.monotonic() - wall, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            // (1 if sys.platform == "linux" else 1024)
            // 1024,
            "jobs": found.jobs,
            "done": found.done,
            "makespan_over_bound": round(found.makespan_s / found.bound_s, 4),
            "mean_wait_s": found.mean_wait_s,
        }
    print(json.dumps(row))
    if given.json:
        given.json.write_text(json.dumps([row]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
