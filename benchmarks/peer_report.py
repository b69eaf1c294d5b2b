"""What the peers' run came to, as a page: medians, spread, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

OURS = "Conductor"
FAIR = "Celery acks_late + results"

TITLES = {
    "noop": "No-op jobs a second, two worker processes",
    "sleep": "Jobs a second that wait 10 ms (peers: two processes; Conductor: the cloud lane with ten slots)",
    "stamp": "An idle system: from sending a job to the first line of its body, ms",
    "infer": "A 64 MiB ONNX model on the CPU, one worker, ms a job",
}
HEAD = """{stamp}

All on one Valkey with an append-only file fsynced each second, over a Unix socket, in turns; median of
{rounds} rounds (lowest to highest). Jobs a second count from before the first is sent to the end of the
last; for Conductor from before the manifest is written to the last receipt verified; all have had their
first jobs, and two seconds' rest. What the peers promise differs: only RQ fork, Celery and HyperQueue run a
body apart from what takes jobs; only Celery with acks_late brings back a job whose worker died; none has a
gate or a receipt.
"""


def markdown(measured: Mapping[str, Mapping[str, Sequence[float]]], stamp: str, rounds: int) -> str:
    parts = [HEAD.format(rounds=rounds, stamp=stamp)]
    for case, title in TITLES.items():
        if case in measured:
            parts.append(f"### {title}\n\n" + "\n".join(table(case, measured[case])) + "\n")
    return "\n".join(parts)


def table(case: str, rows: Mapping[str, Sequence[float]]) -> list[str]:
    if case == "stamp":
        return latencies(rows)
    if case == "infer":
        return per_job(rows)
    base = statistics.median(rows[FAIR]) if FAIR in rows else None
    head = ["| | jobs/s | lowest to highest | of Celery acks_late |", "|---|---|---|---|"]
    return head + [
        f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} – {max(values):,.0f} | "
        + (f"{statistics.median(values) / base:.2f} × |" if base else "– |")
        for name, values in ours_last(rows)
    ]


def latencies(rows: Mapping[str, Sequence[float]]) -> list[str]:
    lines = ["| | p50 | p99 | jobs |", "|---|---|---|---|"]
    for name, values in ours_last(rows):
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        lines.append(f"| {name} | {statistics.median(ordered):.2f} | {p99:.2f} | {len(ordered)} |")
    return lines


def per_job(rows: Mapping[str, Sequence[float]]) -> list[str]:
    lines = ["| | ms a job | lowest to highest |", "|---|---|---|"]
    return lines + [
        f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} – {max(values):.1f} |"
        for name, values in ours_last(rows)
    ]


def ours_last(rows: Mapping[str, Sequence[float]]) -> list[tuple[str, Sequence[float]]]:
    return sorted(rows.items(), key=lambda item: item[0] == OURS)
