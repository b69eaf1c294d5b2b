"""Jobs that need nothing but the system itself: to see that it works, how fast it is, and how it mixes lanes.

Modes: debug echoes, sleep sleeps, crud does a create-read-update-delete in SQLite, crud_latency the same
against a slow store, backlog mixes them over the lanes with different priorities and needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs
from conductor.planning import job

NAME = "system_test"
SECONDS = 0.2
#: More would fill a disk before anybody saw it.
MOST_JOBS = 10_000_000
ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=sorted(MODES), default="debug", help="which jobs")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="how long a sleep or a latency is"
    )


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{options.mode}_{options.count}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """`--count` jobs of a mode; the same options always give the same bytes."""
    if not 1 <= options.count <= MOST_JOBS:
        raise UsageError(f"--count {options.count}: at least 1, at most {MOST_JOBS}")
    if not 0 <= options.seconds <= 3600:
        raise UsageError(f"--seconds {options.seconds:g}: between 0 and 3600")
    make = MODES[options.mode]
    return (make(index, options.seconds, {}) for index in range(options.count))


def echo(index: int, seconds: float, extra: dict[str, Any]) -> JobSpec:
    return job(
        NAME,
        "diagnostics.echo",
        {"index": index, "text": f"hello {index}"},
        writes={"scratch:system_test/{id}/echo.txt": 4096},
        **extra,
    )


def sleep(index: int, seconds: float, extra: dict[str, Any]) -> JobSpec:
    return job(NAME, "diagnostics.sleep", {"index": index, "seconds": seconds}, duration_s=seconds, **extra)


def crud(index: int, seconds: float, extra: dict[str, Any]) -> JobSpec:
    return job(NAME, "crud.cycle", {"index": index, "rows": ROWS}, **extra)


def crud_latency(index: int, seconds: float, extra: dict[str, Any]) -> JobSpec:
    args = {"index": index, "rows": ROWS, "seconds": seconds / 4}
    return job(NAME, "crud.sleep_cycle", args, duration_s=seconds * 1.25, **extra)


def mixed(index: int, seconds: float, extra: dict[str, Any]) -> JobSpec:
    """One of five kinds in turn: four lanes' worth of small work, some of it urgent, some of it large."""
    make, fields = MIX[index % len(MIX)]
    return make(index, seconds, {**fields, **extra})


Make = Callable[[int, float, dict[str, Any]], JobSpec]

MODES: dict[str, Make] = {
    "debug": echo,
    "sleep": sleep,
    "crud": crud,
    "crud_latency": crud_latency,
    "backlog": mixed,
}

MIX: tuple[tuple[Make, dict[str, Any]], ...] = (
    (echo, {"priority": 5}),
    (sleep, {"needs": Needs(cpu=0.5, ram_mib=64)}),
    (crud, {}),
    (crud_latency, {"priority": -5}),
    (sleep, {"lane": "cloud"}),
)

if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
