"""One run, one table: how the decision packs, orders and keeps disks, against bounds, simple rules and
published work.

    python benchmarks/decision.py [--traces FOLDER] [--seeds 10] [--json FILE]

Everything goes through `decide`; ours by the rule that a conductor without settings of its own follows live,
[waiting] (aging, overdue, backfill reservations) included, the simple rules bare, as they were published.
Controls come first: simple rules must give the published rows within 1 %, random placement must come out
within 0.7 of its row; else the simulator is wrong, and the exit code is 1. openb (the cluster) is run where
its folder is named: --traces or $CONDUCTOR_TRACES.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import packing

from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.figures import Figures, figures
from conductor.analysis.simulation.policies import DEFAULT, limits_of
from conductor.analysis.simulation.rule import rule_of, words
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.base.settings.limits import limits_of as of_settings
from conductor.base.settings.limits import live
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from workflows.trace.forms import specs

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks" / "traces"
CATALOGUE = load_catalogue()
HOST = cluster.NodeKind(
    name="host", cpu_milli=64_000, ram_mib=262_144, devices=(cluster.DeviceKind(vram_mib=24_576),)
)
#: What a conductor decides by where conductor.toml says nothing.
LIVE = of_settings(Settings())
MB = 1_000_000
#: Published: (100 %, 130 %) of demand.
RANDOM, FGD = (86.30, 87.47), (95.23, 95.39)


class FigureRow(NamedTuple):
    """`value` against `goal`; `is_control`: of the simulator, not of the decision."""

    what: str
    value: str
    goal: str
    is_met: bool
    is_control: bool = False

    def told(self) -> dict[str, str]:
        what = f"control: {self.what}" if self.is_control else self.what
        return {"what": what, "value": self.value, "goal": self.goal, "": "" if self.is_met else "missed"}


def run(trace: Path, policy: str, is_batch: bool, kind: cluster.NodeKind = HOST) -> Figures:
    limits = limits_of(policy, live=LIVE if policy == DEFAULT else None)
    world = World(Workload(specs(trace), CATALOGUE, is_batch), cluster.reports((kind,)), limits)
    begin = time.monotonic()
    world.run()
    return figures(world, time.monotonic() - begin, policy)


# ── one host ──────────────────────────────────────────────────────────────────────────────────────────────

#: Trace, and what to reach: makespan ÷ bound of a batch, mean completion ÷ first-fit's online.
HOSTS = (("default_200", 1.04, 0.70), ("gpushare40_500", 1.02, 0.60))


def one_host() -> Iterator[FigureRow]:
    expected = json.loads((HERE / "expected_onehost.json").read_text())
    for name, goal, mean_goal in HOSTS:
        trace = HERE / f"onehost_{name}.jsonl"
        rows = {
            t["title"].split()[1]: {r["rule"]: r for r in t["rows"]} for t in expected if name in t["title"]
        }
        for policy, rule in (("first_fit", "fifo-skip"), ("fifo", "fifo"), ("best_fit", "bestfit")):
            for kind in ("batch", "online"):
                found, published = run(trace, policy, kind == "batch"), rows[kind][rule]
                pairs = (
                    (found.makespan_s, published["makespan"]),
                    (found.mean_jct_s, published["mean_jct"]),
                    (found.max_wait_s, published["max_wait"]),
                )
                worst = max(abs(mine / theirs - 1) for mine, theirs in pairs)
                yield FigureRow(
                    f"{name} {kind}, {policy}: off by", f"{worst:.2%}", "≤ 1 %", worst <= 0.01, True
                )
        batch = run(trace, "auto", True)
        ratio = batch.makespan_s / batch.bound_s
        yield FigureRow(f"{name} batch, makespan ÷ bound", f"{ratio:.4f}", f"≤ {goal}", ratio <= goal)
        online, plain = run(trace, "auto", False), rows["online"]["fifo-skip"]
        mean, longest = online.mean_jct_s / plain["mean_jct"], online.max_wait_s / plain["max_wait"]
        what = f"{name} online, mean completion ÷ first-fit's"
        yield FigureRow(what, f"{mean:.3f}", f"≤ {mean_goal}", mean <= mean_goal)
        yield FigureRow(
            f"{name} online, longest wait ÷ first-fit's", f"{longest:.3f}", "≤ 1.0", longest <= 1.0
        )
        over = batch.oom + online.oom
        lost = batch.jobs - batch.done + online.jobs - online.done
        yield FigureRow(f"{name}, OOM kills and lost jobs", f"{over} / {lost}", "0 / 0", over == lost == 0)


# ── disks ─────────────────────────────────────────────────────────────────────────────────────────────────

SIMPLE = ("fifo", "threshold", "threshold_frees", "threshold_critical")


def disks(only: str = "") -> Iterator[FigureRow]:
    """`only`: what the workflow's name begins with; then without the control, which is of all."""
    hung = 0
    for entry in json.loads((HERE / "wf" / "expected.json").read_text()):
        if not entry["file"].startswith(only):
            continue
        trace = HERE / "wf" / f"{entry['file']}.json"
        serial = entry["serial_peak_MB"] * 1.05
        sizes = {"1.05 × serial": serial} | {
            f"{share:.0%} of peak": entry["peak_MB"] * share
            for share in (0.5, 0.75)
            if entry["peak_MB"] * share > serial
        }
        for name, size in sizes.items():
            kind = cluster.NodeKind(name="host", cpu_milli=16_000, scratch_bytes=int(size * MB))
            ours = run(trace, "auto", True, kind)
            plain = [run(trace, policy, True, kind) for policy in SIMPLE]
            hung += sum(found.deadlocked > 0 for found in plain)
            ending = [found.makespan_s for found in plain if not found.deadlocked]
            ratio = ours.makespan_s / min(ending) if ending else None
            is_whole = (
                ours.done == ours.jobs and ours.oom == 0 and ours.peak_scratch_bytes <= kind.scratch_bytes
            )
            yield FigureRow(
                f"{entry['file'].split('-')[0]}, {name}: done, makespan ÷ best simple rule",
                f"{ours.done}/{ours.jobs}, {'all hang' if ratio is None else f'{ratio:.3f}'}",
                "all, ≤ 1.1",
                is_whole and (ratio is None or ratio <= 1.1),
            )
    if not only:
        yield FigureRow("runs in which a simple rule hangs", str(hung), "> 0", hung > 0, True)


# ── a cluster ─────────────────────────────────────────────────────────────────────────────────────────────


def packed(folder: Path, seeds: int) -> Iterator[FigureRow]:
    source, hosts = packing.pods(folder), packing.nodes(folder)

    def mean(rule: packing.PlaceRule, count: int) -> tuple[float, float]:
        found = [packing.fill(source, hosts, rule, seed) for seed in range(count)]
        return sum(a for a, _ in found) / count, sum(b for _, b in found) / count

    few = min(seeds, 3)
    for at, mine, theirs in zip((100, 130), mean("random", few), RANDOM, strict=True):
        is_met = abs(mine - theirs) <= 0.7
        yield FigureRow(
            f"openb at {at} %, random ({few} seeds)", f"{mine:.2f}", f"{theirs} ± 0.7", is_met, True
        )
    # Live, another rule says where to with so many nodes; both are shown.
    rules = dict.fromkeys((live(LIVE, len(hosts)).place, LIVE.place))
    for rule in rules:
        for at, mine, theirs, goal in zip((100, 130), mean(rule, seeds), FGD, (95.4, 95.5), strict=True):
            what = f"openb at {at} %, {rule}, allocated % ({seeds} seeds; FGD {theirs})"
            yield FigureRow(what, f"{mine:.2f}", f"≥ {goal}", mine >= goal)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, default=os.environ.get("CONDUCTOR_TRACES"), metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="draws of the cluster's pods")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    parts: list[Callable[[], Iterator[FigureRow]]] = [one_host, disks]
    if options.traces is not None:
        folder = Path(options.traces) / "openb"
        parts.append(lambda: packed(folder, options.seeds))
    else:
        sys.stderr.write("openb is left out: name the folder of the traces with --traces\n")
    print(f"ours: {words(rule_of(DEFAULT, limits_of(DEFAULT, live=LIVE)))}")
    found: list[FigureRow] = []
    for part in parts:
        for row in part():
            found.append(row)
            mark = "ok  " if row.is_met else "MISS"
            print(
                f"{mark} {'control  ' if row.is_control else '         '}{row.what:<62} {row.value:>16} "
                f"  {row.goal}"
            )
            sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps([row.told() for row in found]), encoding="utf-8")
    return int(not all(row.is_met for row in found))


if __name__ == "__main__":
    sys.exit(main())
