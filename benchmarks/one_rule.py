"""One rule beside simple ones, in one table: `python benchmarks/one_rule.py [--json FILE]`.

A row is a trace with a load: all of it there at once, or arriving as it did, or in half the time. Simple
rules are bare, as they were published; ours is what a conductor without settings of its own follows live.
Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ablation_plays import MIXED, SHARES, PlayScene, play, prepared
from decision import HOST, LIVE

from conductor.analysis.simulation.figures import Figures
from conductor.analysis.simulation.policies import DEFAULT, limits_of

SIMPLE = ("first_fit", "best_fit", "shortest", "area")
#: Their loads; 0: all is there at once.
LOADS = {0.0: "batch", 1.0: "online", 2.0: "online, twice as fast"}


class Ratio(NamedTuple):
    """A figure of a play, by the bound or by that of first-fit. `goals`: by trace."""

    words: str
    of: Callable[[Figures, Figures], float]
    goals: Mapping[str, float]


def by_bound(one: Figures, plain: Figures) -> float:
    return one.makespan_s / one.bound_s


def mean_completion(one: Figures, plain: Figures) -> float:
    return one.mean_jct_s / plain.mean_jct_s


def longest_wait(one: Figures, plain: Figures) -> float:
    return one.max_wait_s / plain.max_wait_s


BATCH = (Ratio("makespan ÷ bound", by_bound, {"default 200": 1.04, "gpushare40 500": 1.02}),)
ONLINE = (
    Ratio("mean completion ÷ first-fit's", mean_completion, {"default 200": 0.70, "gpushare40 500": 0.60}),
    Ratio("longest wait ÷ first-fit's", longest_wait, {"default 200": 1.0, "gpushare40 500": 1.0}),
)


def rows() -> Iterator[tuple[dict[str, str], bool]]:
    """Each with whether its goal is met."""
    for trace, file in (("default 200", MIXED), ("gpushare40 500", SHARES)):
        for speed, load in LOADS.items():
            scene = PlayScene(f"{trace}, {load}", file, (HOST,), speed)
            bare = {name: play(scene, limits_of(name), prepared(scene, 0)) for name in SIMPLE}
            ours = play(scene, limits_of(DEFAULT, live=LIVE), prepared(scene, 0))
            for measure in ONLINE if speed else BATCH:
                goal = measure.goals[trace] if speed <= 1.0 else None
                value, plain = measure.of(ours, bare["first_fit"]), bare["first_fit"]
                told = {name: f"{measure.of(found, plain):.3f}" for name, found in bare.items()}
                yield (
                    {
                        "trace and load": scene.name,
                        "what": measure.words,
                        **told,
                        "ours": f"{value:.3f}",
                        "goal": "" if goal is None else f"≤ {goal:g}",
                    },
                    goal is None or value <= goal,
                )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found: list[tuple[dict[str, str], bool]] = []
    for row, is_met in rows():
        found.append((row, is_met))
        print("  ".join(row.values()), "" if is_met else "  MISSED", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([row for row, _ in found]), encoding="utf-8")
    return int(not all(is_met for _, is_met in found))


if __name__ == "__main__":
    sys.exit(main())
