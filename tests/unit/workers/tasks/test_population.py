"""Virtual people: the same whatever the chunks, as the closed form says, and not worked out twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.task_api.context import Stopped
from workers.tasks import population_aggregate, population_simulate
from workers.tasks.population_simulate import BLOCK, COLUMNS, PopulationModel
from workflows.population.verify import analytic

PEOPLE = 3 * BLOCK
MODEL = {"people": PEOPLE, "seed": 5, "steps": 400}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def chunk(bench: Bench, first: int, count: int, name: str = "scratch:chunk.f64", **options: object) -> bytes:
    args = {**MODEL, "first": first, "count": count}
    bench.run(population_simulate.run, args, writes=[name], task="population.simulate", **options)
    return bench.made(name).read_bytes()


def test_people_are_the_same_whatever_the_chunks(tmp_path: Path):
    def whole(sizes: list[int], folder: str) -> bytes:
        bench, first, parts = Bench(made(tmp_path / folder)), 0, list[bytes]()
        for number, size in enumerate(sizes):
            # A job of its own each time: nothing is kept from one to the next.
            parts.append(chunk(Bench(made(bench.inputs / str(number))), first, size))
            first += size
        return b"".join(parts)

    assert whole([PEOPLE], "one") == whole([BLOCK // 2, 1, PEOPLE - BLOCK // 2 - 1], "three")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_an_attempt_goes_on_behind_what_an_earlier_one_had(bench: Bench):
    args = {**MODEL, "first": 0, "count": PEOPLE}
    bench.attempt = 1
    first = bench.context(args=args, writes=["scratch:chunk.f64"])
    asked: list[bool] = []
    first.should_stop = lambda: len(asked) == 2 or asked.append(True) is not None  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        population_simulate.run(args, first)

    bench.attempt = 1
    result = bench.run(
        population_simulate.run, args, writes=["scratch:chunk.f64"], task="population.simulate"
    )

    assert result["resumed_from"] == 2 * BLOCK
    assert bench.made("scratch:chunk.f64").stat().st_size == 8 * len(COLUMNS) * PEOPLE


def test_percentiles_are_those_of_the_distribution(bench: Bench, tmp_path: Path):
    chunks = [chunk(bench, 0, PEOPLE)]
    (source := tmp_path / "chunk").write_bytes(chunks[0])
    bench.put("scratch:c.f64", source)

    args = {"people": PEOPLE, "percentiles": [25, 50, 75]}
    result = bench.run(
        population_aggregate.run,
        args,
        reads=["scratch:c.f64"],
        writes=["published:p.json"],
        task="population.aggregate",
    )

    wanted = analytic(msgspec.convert(MODEL, PopulationModel), (25, 50, 75))
    for name, values in wanted.items():
        assert result["percentiles"][name] == pytest.approx(values, rel=0.005)
    assert result["worst_error"] < 1e-4


def test_chunks_that_are_not_everybody_are_refused(bench: Bench, tmp_path: Path):
    (source := tmp_path / "chunk").write_bytes(bytes(8 * len(COLUMNS) * 3))
    bench.put("scratch:c.f64", source)
    with pytest.raises(BadInput, match="hold 3 people instead of 4"):
        bench.run(
            population_aggregate.run, {"people": 4}, reads=["scratch:c.f64"], writes=["published:p.json"]
        )
