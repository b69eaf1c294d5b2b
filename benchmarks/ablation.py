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

#: Mechanism → what follows from its row. What bought nothing is gone, and stands here with what it bought.
VERDICTS = {
    "rehearsed orders": (
        "Keep. They shorten the longest wait, by a third where `[waiting]` is off and by a tenth "
        "where it is on, and the mean completion pays for it: the one rule to come has to choose."
    ),
    "rehearsed orders that put the oldest first": (
        "Gone: nothing in the median of any scene, for a fifth of a play's CPU."
    ),
    "the guard of the shortest": (
        "Keep: no starvation. Without it the longest wait grows by 1.6 to 2.2 times."
    ),
    "backfill reservations": (
        "Keep, for they guarantee that nobody is passed over for ever. They buy nothing on these "
        "traces and cost a batch 7 % of its makespan and 23 % of its mean completion."
    ),
    "overdue first": (
        "Keep until there is the one rule: it is the bound by age that `explain` states. It costs "
        "a third of the mean completion where small jobs keep coming."
    ),
    "largest or shortest first": ("Keep: what comes one by one ends a sixth to a fifth sooner in the mean."),
    "packing by worth": (
        "Keep: 8 % more of a cluster of 60 nodes is given out; on a host or two it changes nothing."
    ),
    "the weight of shares in it": (
        "Keep, as one constant: nothing on 60 nodes, 0.2 % of all of openb, which is what is "
        "between its mark and it."
    ),
    "a way out kept for chains": ("Keep: it guarantees that what has begun can end. Without it jobs hang."),
    "going where the model is warm": (
        "Keep: 4 % of the mean completion where a model loads for as long as it works."
    ),
    "what is kept between ticks": ("Keep: it saves a quarter of a tick's CPU on one host."),
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
