"""What Slurm's programs print, read without Slurm."""

from __future__ import annotations

import math

import pytest

from conductor.adapters.engines.slurm_rows import capacity_of, limit_s, queue_rows


def line(name: str, state: str, reason: str = "None", status: str = "0", start: str = "N/A") -> str:
    widths = (64, 16, 16, 64, 12, 16, 16, 64)
    cells = (name, "17", state, reason, status, start, "N/A", "n/a")
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        ("PENDING", "0", ("pending", None, None)),
        ("CONFIGURING", "0", ("running", None, None)),
        ("COMPLETING", "0", ("running", None, None)),
        ("NODE_FAIL", "0", ("lost", None, None)),
        ("COMPLETED", "0", ("ended", "done", 0)),
        ("FAILED", "768", ("ended", "failed", 3)),
        ("FAILED", "9", ("ended", "killed", 0)),
        ("TIMEOUT", "15", ("ended", "time", 0)),
        ("PREEMPTED", "0", ("ended", "killed", 0)),
        ("OUT_OF_MEMORY", "9", ("ended", "killed", 0)),
        ("CANCELLED", "0", ("ended", "cancelled", 0)),
    ],
)
def test_states(state: str, status: str, expected: tuple[str, str | None, int | None]) -> None:
    [(key, job)] = queue_rows(line("cdr-a-1", state, status=status), "cdr-")
    assert (key, job.state, job.end, job.exit_code) == ("cdr-a-1", *expected)


def test_names_of_other_people_may_hold_anything() -> None:
    text = "\n".join(
        (line("a b|c cdr-x-1", "RUNNING"), line("cdr-a-1", "PENDING", "Licenses", start="1796045247"))
    )
    [(key, job)] = queue_rows(text, "cdr-")
    assert (key, job.reason, job.expected_at, job.started_at) == ("cdr-a-1", "Licenses", 1796045247.0, None)


def test_a_node_in_two_partitions_is_counted_once() -> None:
    cells = {"n1": 64, "3/4/1/8": 32, "gpu:a100:4(S:0-1),vram:24": 256, "gpu:a100:1(IDX:0)": 256}
    node = "".join(cell.ljust(width) for cell, width in cells.items())
    told = capacity_of(f"{node}\n{node}", pending=2)
    assert (told.cpus, told.free_cpus, told.devices, told.free_devices, told.pending) == (8, 4, 4, 3, 2)


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        ("", 43_200.0),
        ("night", 43_200.0),
        ("short", 600.0),
        ("week", 604_800.0),
        ("free", math.inf),
        ("no", math.inf),
    ],
)
def test_limits_of_partitions(partition: str, expected: float) -> None:
    text = "night* 12:00:00\nshort 10:00\nweek 7-00:00:00\nfree infinite\n"
    assert limit_s(text, partition) == expected
