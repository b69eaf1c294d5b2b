"""`python tests/chaos/soak.py --jobs 100000 --kills 5000 [--minutes N] [--seed S]`: by hand, while there is
time.

Round after round, each in a fresh project with a seed of its own, until jobs and kills are spent or the time
is up. Then the scenarios: a full disk, a full Redis, an AOF cut short, a Redis emptied and rebuilt, wrong
clocks.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos import play, scenarios
from tests.chaos.figures import ChaosFigures

ROUND_JOBS, ROUND_KILLS = 3000, 200


def main() -> int:
    """0 when nothing was lost, doubled or left behind."""
    options = parser().parse_args()
    say(machine())
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        base = Path(folder)
        faults = soaked(base, options) + ([] if options.no_scenarios else played(base))
    say(f"{len(faults)} faults" + "".join(f"\n  {fault}" for fault in faults))
    return 1 if faults else 0


def soaked(base: Path, options: argparse.Namespace) -> list[str]:
    seeds, total, faults = random.Random(options.seed), ChaosFigures(), list[str]()
    until = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    kills = 0
    while total.jobs < options.jobs and time.monotonic() < until:
        seed = seeds.randrange(10**6)
        share = min(ROUND_JOBS, options.jobs - total.jobs)
        blows = min(options.kills - kills, max(1, round(share * options.kills / options.jobs)))
        folder = base / f"seed-{seed}"
        figures, found = play.run(folder, seed, share, blows, options.gap)
        total.add(figures)
        kills = sum(total.kills.values())
        faults += [f"seed {seed}: {fault}" for fault in found]
        say(f"seed {seed}: {figures.lines()[0]}; {len(found)} faults")
        if not found:
            shutil.rmtree(folder)
    say("\n".join(total.lines()))
    say(f"0 in {kills} kills would mean: fewer than {3 / max(1, kills):.2%} of kills do harm (95 %)")
    return faults


def played(base: Path) -> list[str]:
    faults: list[str] = []
    for name, scenario in scenarios.ALL.items():
        began = time.monotonic()
        try:
            found: str | list[str] = scenario(base / name)
        except AssertionError as e:
            found = [str(e)]
        word = f"skipped: {found}" if isinstance(found, str) else f"{len(found)} faults"
        say(f"{name}: {word} ({time.monotonic() - began:.1f} s)")
        faults += [f"{name}: {fault}" for fault in found] if isinstance(found, list) else []
    return faults


def machine() -> str:
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, load {load}"


def say(text: str, write: Callable[[str], object] = sys.stdout.write) -> None:
    write(text + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--jobs", type=int, default=100_000)
    result.add_argument("--kills", type=int, default=5_000)
    result.add_argument("--minutes", type=float, help="begin no new round after so long")
    result.add_argument("--seed", type=int, default=1)
    result.add_argument("--gap", type=float, default=0.2, help="mean seconds between two kills")
    result.add_argument("--no-scenarios", action="store_true")
    return result


if __name__ == "__main__":
    sys.exit(main())
