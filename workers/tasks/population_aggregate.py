"""population.aggregate: percentiles over a whole population out of its chunks, in the order of its people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, write_of
from workers.tasks.population_simulate import COLUMNS

Percent = Annotated[float, Meta(ge=0, le=100)]


class AggregateArgs(Args, frozen=True, kw_only=True):
    people: Annotated[int, Meta(ge=1, le=1_000_000)]
    percentiles: Annotated[tuple[Percent, ...], Meta(min_length=1, max_length=100)] = (5, 25, 50, 75, 95)


@task(
    "population.aggregate",
    lane="cpu",
    needs=Needs(cpu=1, ram_mib=512),
    timeout_s=3600,
    retry={"task_error": 1},
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: people, percentiles. Reads the chunks in their order, writes one `.json`.

    Result: {"people", "percentiles": {column: [value, …]}, "worst_error"}: of the end concentration against
    the closed form, as a share. Raises `BadInput` when the chunks are not all the people.
    """
    import numpy as np

    given = parse(args, AggregateArgs)
    parts: list[bytes] = []
    for path in ctx.spec.reads:
        leave_if_told(ctx)
        with ctx.read(path) as file:
            parts.append(file.read())
    table = np.frombuffer(b"".join(parts), dtype="<f8")
    if table.size != given.people * len(COLUMNS):
        raise BadInput(f"the chunks hold {table.size / len(COLUMNS):g} people instead of {given.people}")
    rows = table.reshape(given.people, len(COLUMNS))
    found = {
        name: [float(value) for value in np.percentile(rows[:, index], given.percentiles)]
        for index, name in enumerate(COLUMNS)
    }
    end, exact = rows[:, COLUMNS.index("c_end_mg_l")], rows[:, COLUMNS.index("c_end_exact_mg_l")]
    result: dict[str, Any] = {
        "people": given.people,
        "percentiles": found,
        "worst_error": float(np.max(np.abs(end - exact) / exact)),
    }
    said = {**result, "of": list(given.percentiles)}
    with ctx.create(write_of(ctx, ".json")) as file:
        file.write(msgspec.json.format(msgspec.json.encode(said), indent=1))
    return result
