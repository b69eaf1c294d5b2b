"""`plot.py BASE < rows.json`: what a longer backlog costs, as BASE.png and BASE.svg."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

#: Title, what the y axis counts, whether it is logarithmic, and the lines: figure → its name.
PANELS = (
    ("Throughput", "no-op jobs a second", False, {"noop_a_second": "plan to verified receipt"}),
    ("Latency, idle to the first line of a body", "ms", False, {"idle_p50_ms": "p50", "idle_p99_ms": "p99"}),
    (
        "Cost of a look",
        "ms",
        True,
        {
            "tick_ms": "tick: observe and decide",
            "status_ms": "status: what it reads",
            "explain_ms": "explain: what it reads",
            "find_ms": "an id by its first letters",
            "command_ms": "conductor status, whole command",
        },
    ),
    (
        "Redis memory of a waiting job",
        "bytes beyond its line",
        False,
        {"bytes_a_job": "in all, by the waiting jobs"},
    ),
)
#: Told apart by the colour-blind (Okabe and Ito) and, by marker and dash, in black and white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
#: Below so many jobs the ledger's own keys outweigh them.
MEANS_SOMETHING = {"bytes_a_job": 1000}


def draw(rows: list[dict[str, Any]], base: str) -> None:
    figure, panels = pyplot.subplots(2, 2, figsize=(11, 9), layout="constrained")
    figure.suptitle(
        "What a longer backlog costs: jobs of 100 classes wait (ten jobs: of ten), others run past them"
    )
    for panel, (title, unit, is_log, lines) in zip(panels.flat, PANELS, strict=True):
        for number, (key, label) in enumerate(lines.items()):
            one(
                panel,
                [row for row in rows if row["length"] >= MEANS_SOMETHING.get(key, 0)],
                number,
                key,
                label,
            )
        panel.set(xscale="log", title=title, xlabel="waiting jobs", ylabel=unit)
        panel.xaxis.set_major_formatter("{x:,.0f}")
        if is_log:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter("{x:g}")
        else:
            panel.set_ylim(0, panel.get_ylim()[1] * 1.05)
        panel.grid(alpha=0.3)
        # Below the axis, where no line can run behind it.
        panel.legend(
            fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False
        )
    for ending in ("png", "svg"):
        figure.savefig(f"{base}.{ending}", dpi=110)


def one(panel: Any, rows: list[dict[str, Any]], number: int, key: str, label: str) -> None:
    """The medians, and from where to where they go."""
    lengths = [row["length"] for row in rows]
    spread = [row.get("spread", {}).get(key, [row[key], row[key]]) for row in rows]
    look = {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": DASHES[number]}
    panel.plot(lengths, [row[key] for row in rows], label=label, markersize=5, **look)
    panel.fill_between(lengths, *zip(*spread, strict=True), color=COLOURS[number], alpha=0.15, linewidth=0)


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
