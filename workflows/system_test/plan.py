"""Jobs that need nothing but the system itself: to see that it works, how fast it is, and how it mixes lanes.

Modes: debug echoes, sleep sleeps, crud does a create-read-update-delete, crud_latency the same with waits,
crud_stress by many threads at once, backlog mixes them over the lanes with different priorities and needs.
With --store they work in a store (SQLite or PostgreSQL), else in a SQLite file of each attempt's own.
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
from typing import Any, NamedTuple

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs
from conductor.planning import job

NAME = "system_test"
SECONDS = 0.2
#: More would fill a disk before anybody saw it.
MOST_JOBS = 10_000_000
ROWS = 20
#: Of one job of crud_stress; a job's threads share its connections.
THREADS, CONNECTIONS, MOST_THREADS = 8, 4, 64
ROUNDS, MOST_ROUNDS = 25, 100_000


class SystemTestOptions(NamedTuple):
    """What the jobs of one plan have in common."""

    seconds: float = SECONDS
    store: str | None = None
    threads: int = THREADS
    connections: int = CONNECTIONS
    rounds: int = ROUNDS

    @property
    def place(self) -> dict[str, str]:
        """As the argument of a task."""
        return {} if self.store is None else {"store": self.store}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=sorted(MODES), default="debug", help="which jobs")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="how long a sleep or a latency is"
    )
    parser.add_argument("--store", metavar="NAME", help="work in [stores.NAME] of conductor.toml")
    stress = parser.add_argument_group("of a job of crud_stress")
    stress.add_argument("--threads", type=int, default=THREADS, metavar="N", help="so many at once")
    stress.add_argument(
        "--connections", type=int, default=CONNECTIONS, metavar="N", help="so many of the store's for all"
    )
    stress.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="rows of each thread")


def manifest_name(options: argparse.Namespace) -> str:
    where = f"_{options.store}" if options.store else ""
    return f"{NAME}_{options.mode}{where}_{options.count}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """`--count` jobs of a mode; the same options always give the same bytes."""
    for name, most in (
        ("count", MOST_JOBS),
        ("threads", MOST_THREADS),
        ("connections", MOST_THREADS),
        ("rounds", MOST_ROUNDS),
    ):
        if not 1 <= (given := getattr(options, name)) <= most:
            raise UsageError(f"--{name} {given}: at least 1, at most {most}")
    if not 0 <= options.seconds <= 3600:
        raise UsageError(f"--seconds {options.seconds:g}: between 0 and 3600")
    make = MODES[options.mode]
    given = SystemTestOptions(**{name: getattr(options, name) for name in SystemTestOptions._fields})
    return (make(index, given, {}) for index in range(options.count))


def echo(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    """In a store: one row that holds the words."""
    words = {"index": index, "text": f"hello {index}"}
    if given.store is not None:
        return job(NAME, "crud.cycle", {**words, "rows": 1, **given.place}, **extra)
    return job(NAME, "diagnostics.echo", words, writes={"scratch:system_test/{id}/echo.txt": 4096}, **extra)


def sleep(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    """In a store: with its connection open all the while."""
    seconds = given.seconds
    if given.store is not None:
        args = {"index": index, "rows": 1, "seconds": seconds / 5, **given.place}
        return job(NAME, "crud.sleep_cycle", args, duration_s=seconds, **extra)
    return job(NAME, "diagnostics.sleep", {"index": index, "seconds": seconds}, duration_s=seconds, **extra)


def crud(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    return job(NAME, "crud.cycle", {"index": index, "rows": ROWS, **given.place}, **extra)


def crud_latency(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    args = {"index": index, "rows": ROWS, "seconds": given.seconds / 4, **given.place}
    return job(NAME, "crud.sleep_cycle", args, duration_s=given.seconds * 1.25, **extra)


def crud_stress(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    args = {
        "index": index,
        "threads": given.threads,
        "connections": given.connections,
        "rounds": given.rounds,
        **given.place,
    }
    return job(NAME, "crud.stress", args, **extra)


def mixed(index: int, given: SystemTestOptions, extra: dict[str, Any]) -> JobSpec:
    """One of five kinds in turn (of six in a store): four lanes' worth of small work, some of it urgent, some
    of it large.
    """
    mix = MIX if given.store is None else (*MIX, (crud_stress, {"priority": 10}))
    make, fields = mix[index % len(mix)]
    return make(index, given, {**fields, **extra})


Make = Callable[[int, SystemTestOptions, dict[str, Any]], JobSpec]

MODES: dict[str, Make] = {
    "debug": echo,
    "sleep": sleep,
    "crud": crud,
    "crud_latency": crud_latency,
    "crud_stress": crud_stress,
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
