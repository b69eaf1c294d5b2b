"""`plot.py BASE < rows.json`: what a longer backlog costs, as BASE.png and BASE.svg."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

PANELS = (
    ("Throughput, jobs/s", {"noop_a_second": "no-op, plan to verified receipt"}),
    ("Latency, ms", {"idle_p50_ms": "idle to first line, p50", "idle_p99_ms": "p99"}),
    ("Cost of a look, ms", {"tick_ms": "tick", "status_ms": "status", "explain_ms": "explain"}),
    ("Redis bytes a waiting job, beyond its line", {"bytes_a_job": "bytes"}),
)


def draw(rows: list[dict[str, Any]], base: str) -> None:
    figure, panels = pyplot.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    figure.suptitle("What a longer backlog costs")
    lengths = [row["length"] for row in rows]
    for panel, (title, lines) in zip(panels.flat, PANELS, strict=True):
        for key, label in lines.items():
            panel.plot(lengths, [row[key] for row in rows], marker="o", label=label)
        panel.set(xscale="log", title=title, xlabel="waiting jobs", ylim=(0, None))
        panel.grid(alpha=0.3)
        panel.legend()
    for ending in ("png", "svg"):
        figure.savefig(f"{base}.{ending}", dpi=110)


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
