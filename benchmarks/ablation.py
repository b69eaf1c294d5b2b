"""Does each mechanism earn its keep: `python benchmarks/ablation.py [--only PART ..] [--seeds 5] [--rounds 5]
[--traces FOLDER] [--json FILE]`.

With and without each of them: on the traces in simulated time (`plays`), and in pairs in one run (all other
parts). A figure is what it comes to without the mechanism ÷ with it: above 1, the mechanism makes waits and
makespans shorter. openb's cluster is filled where its folder is named: --traces or $CONDUCTOR_TRACES.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import ablation_plays
from ablation_pairs import PARTS
from loguru import logger

#: Mechanism → what follows from its row. What bought nothing is gone, and stands here with what it bought.
VERDICTS = {
    "rehearsed orders": (
        "Keep. Without them the longest wait is a third longer on openb's default 200, 17 % on two hosts and "
        "1 % on one of gpushare40. It costs: without them what comes one by one would end 24 to 31 % sooner "
        "in the mean on gpushare40, and 5 % later on openb's."
    ),
    "rehearsed orders that put the oldest first": (
        "Gone: nothing in the median of any scene, for a fifth of a play's CPU."
    ),
    "the guard of the shortest": (
        "Keep: no starvation. Without it the longest wait grows by 1.6 to 2.2 times."
    ),
    "backfill reservations": (
        "Keep, for they guarantee that nobody is passed over for ever. On these traces they buy nothing and "
        "cost nothing, within 0.3 % of the mean; by the older rule they cost a batch up to 4 %."
    ),
    "overdue first": (
        "Keep: it is the bound by age that `explain` states. It costs nothing in the mean any more (a third "
        "by the older rule), and 8 % of the p99 wait where small jobs keep coming."
    ),
    "largest or shortest first": (
        "Keep: what comes one by one ends 36 to 42 % sooner in the mean for it, and a batch ends 1 to 4 % "
        "sooner as a whole. Without it a batch would end 22 to 43 % sooner in the mean."
    ),
    "packing by worth": (
        "Keep: 8 % more of a cluster of 60 nodes is given out; on a host or two it changes nothing."
    ),
    "the weight of shares in it": (
        "Keep, as one constant: nothing on 60 nodes, 0.2 % of all of openb, which is what is "
        "between its mark and it."
    ),
    "a way out kept for chains": ("Keep: it guarantees that what has begun can end. Without it jobs hang."),
    "going where the model is warm": (
        "Keep: 5 % of the mean completion where a model loads for two thirds of the time that it works."
    ),
    "learned needs and durations": (
        "Keep: where jobs ask for up to twice what they take, they end 8 to 29 % sooner in the mean."
    ),
    "a forecast that is played": (
        "Keep, where there are many jobs: it foretold the end to 2 % (one draw), adding up to 4 and 8 %. "
        "For 200 jobs on one device both are wrong by 7 %."
    ),
    "what is kept between ticks": ("Keep: it saves a quarter of a tick's CPU on one host."),
    "reading few heads of a class": (
        "Keep for now: 5 % of a tick of 100 classes, in two pairs on a busy machine, which is little proof."
    ),
    "deeper queues of short jobs": (
        "Keep: six times the no-op jobs a second, in one pair on a busy machine."
    ),
    "successors": ("Keep: half a millisecond between two jobs of a device, 22 without, on a busy machine."),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=["plays", *PARTS], default=["plays", *PARTS])
    parser.add_argument("--seeds", type=int, default=5, help="draws of the estimates")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of the other parts")
    parser.add_argument("--traces", type=Path, default=os.environ.get("CONDUCTOR_TRACES"), metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    # A tick's lines would cost as much as what is measured.
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    traces = None if given.traces is None else Path(given.traces)
    found = Found(given.json)
    if "plays" in given.only:
        for row in ablation_plays.rows(given.seeds, traces):
            found.add("plays", row)
    for name, part in PARTS.items():
        if name in given.only:
            for pair in part(given.rounds):
                found.add("pairs", pair.told())
    return 0


class Found:
    """The rows so far, in the file after each: all of them take an hour."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        verdicts = [{"mechanism": name, "verdict": words} for name, words in VERDICTS.items()]
        self._rows: dict[str, list[dict[str, Any]]] = {"verdicts": verdicts, "plays": [], "pairs": []}

    def add(self, table: str, row: dict[str, Any]) -> None:
        print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
        self._rows[table].append(row)
        if self._file is not None:
            self._file.write_text(json.dumps(self._rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
