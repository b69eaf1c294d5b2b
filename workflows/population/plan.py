"""What a dose does in a whole population: virtual people in chunks, worked out in parallel, and percentiles.

The same seed gives the same bytes, whatever the chunks. A chunk that is killed goes on where it was.
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
from collections.abc import Iterator

import msgspec

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs
from conductor.planning import job
from workers.tasks.population_simulate import BLOCK, COLUMNS, PopulationModel

NAME = "population"
JSON_BYTES = 1 << 16
#: Person-steps a second on one core of 2020: a guess, until receipts say better.
SPEED = 4e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chunk", type=int, default=1250, metavar="N", help="so many people a job")
    for field in msgspec.structs.fields(PopulationModel):
        kind = int if isinstance(field.default, int) else float
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, default=field.default, metavar="X"
        )


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{options.people}_{options.seed}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """A job a chunk, and one for all of them."""
    model = model_of(options)
    if options.chunk < 1:
        raise UsageError(f"--chunk {options.chunk}: at least 1")
    chunks = [
        chunk_of(model, first, min(options.chunk, model.people - first))
        for first in range(0, model.people, options.chunk)
    ]
    yield from chunks
    yield job(
        NAME,
        "population.aggregate",
        {"people": model.people},
        reads=[chunk.writes[0].path for chunk in chunks],
        writes={"published:population/{short}.json": JSON_BYTES},
        after=chunks,
    )


def model_of(options: argparse.Namespace) -> PopulationModel:
    given = {field.name: getattr(options, field.name) for field in msgspec.structs.fields(PopulationModel)}
    try:
        return msgspec.convert(given, PopulationModel)
    except msgspec.ValidationError as e:
        raise UsageError(f"the model: {e}") from None


def chunk_of(model: PopulationModel, first: int, count: int) -> JobSpec:
    size = 8 * len(COLUMNS) * count
    return job(
        NAME,
        "population.simulate",
        {**msgspec.structs.asdict(model), "first": first, "count": count},
        writes={"scratch:population/{id}.f64": size},
        needs=Needs(cpu=1, ram_mib=256, scratch_bytes=2 * size + (1 << 20)),
        duration_s=max(1.0, round(count * model.steps / SPEED, 1)),
        size=count * model.steps / BLOCK,
    )


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
