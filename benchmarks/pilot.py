"""What a job costs more on a pilot than on a node of one's own: `python benchmarks/pilot.py [--pairs 200]
[--json FILE]`.

One project with a node, and an engine that has brought one pilot (`kind = "local"`, so the network is not in
it). The same job that does nothing is put for the one and for the other, in turns of random order, each when
the one before is done: from the call that puts it until the ledger calls it done. What drifts with the
machine drifts for both, so the figure is the median of the differences of pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from throughput import NODE, ThroughputBench, new_folder, until

from conductor.model.spec import Needs
from conductor.ports import Ledger

PILOT = "lab_1"
ENGINE = """
[engines.lab]
kind = "local"
min = 1
cpus = 1
ram_mib = 1024
lanes = ["cpu"]
"""
SETTLE_S = 0.02


class PilotBench(ThroughputBench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, cpu=1)
        with (folder / "conductor.toml").open("a", encoding="utf-8") as file:
            file.write(ENGINE)

    def seconds(self, ledger: Ledger, node: str) -> float:
        """From the call that puts it until it is done."""
        spec, done = self.spec("bench.noop", Needs(node=node)), ledger.tallies.counts()["done"]
        began = time.perf_counter()
        self.put(ledger, spec)
        until(lambda: ledger.tallies.counts()["done"] > done, every_s=0.0002)
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        return took


def overhead(pairs: int, seed: int) -> dict[str, Any]:
    bench, order = PilotBench(new_folder()), random.Random(seed)
    took: dict[str, list[float]] = {NODE: [], PILOT: []}
    with bench.open() as ledger:
        until(lambda: any(r.node == PILOT and r.queues for r in ledger.reports.live()), every_s=0.1)
        for node in (NODE, PILOT) * 10:
            bench.seconds(ledger, node)
        for _ in range(pairs):
            for node in order.sample((NODE, PILOT), 2):
                took[node].append(bench.seconds(ledger, node) * 1000)
    more = sorted(pilot - own for pilot, own in zip(took[PILOT], took[NODE], strict=True))
    return {
        "pairs": pairs,
        "seed": seed,
        "load": round(os.getloadavg()[0], 1),
        "node_ms": quantiles(took[NODE]),
        "pilot_ms": quantiles(took[PILOT]),
        "more_ms": quantiles(more),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {f"p{n}": round(cuts[n - 1], 2) for n in (25, 50, 75, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    text = json.dumps(overhead(options.pairs, options.seed), indent=2)
    sys.stdout.write(text + "\n")
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
