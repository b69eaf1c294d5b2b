"""What bodies share: arguments that name the wrong field, declared reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.toolkit import Args, parse, read_of, shown, threads, write_of


class TextWindow(Args, frozen=True, kw_only=True):
    seconds: float = 1.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_wrong_argument_is_named_with_what_was_expected():
    with pytest.raises(BadInput, match=r"^args\.seconds: expected `float`, got `str`$"):
        parse({"seconds": "long"}, TextWindow)


def test_an_unknown_argument_is_refused_by_name():
    with pytest.raises(BadInput, match="unknown field `secs`"):
        parse({"secs": 1}, TextWindow)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("scratch:cuts/a.mp4", "a.mp4"),
        ("/videos/a: b.mp4", "a: b.mp4"),
        ('/videos/it\'s "b"\n%03d.mp4', 'it\'s "b"\\n%03d.mp4'),
        ("/videos/\x1b[31mred.mp4", "\\x1b[31mred.mp4"),
    ],
)
def test_a_name_is_shown_without_folders_and_cannot_forge_a_line(path: str, name: str):
    assert shown(path) == name


def test_a_source_that_the_line_does_not_declare_is_refused(bench: Bench):
    ctx = bench.context(reads=["scratch:a"])
    with pytest.raises(BadInput, match="not among the job's reads"):
        read_of(ctx, "scratch:b", 0)


def test_a_job_without_reads_is_told_how_many_are_needed(bench: Bench):
    with pytest.raises(BadInput, match="declares 0 reads"):
        read_of(bench.context(), None, 0)


def test_the_write_is_found_by_its_suffix_in_any_case(bench: Bench):
    ctx = bench.context(writes=["scratch:a.json", "scratch:b.MP4"])
    assert write_of(ctx, ".mp4") == "scratch:b.MP4"
    assert write_of(ctx) == "scratch:a.json"
    with pytest.raises(BadInput, match=r"no write that ends in \.webm"):
        write_of(ctx, ".webm")


@pytest.mark.parametrize(("cpu", "count"), [(0, 1), (0.5, 1), (2.5, 3)])
def test_threads_follow_the_cores_the_line_asks_for(bench: Bench, cpu: float, count: int):
    assert threads(bench.context(needs=Needs(cpu=cpu)), Needs(cpu=8)) == count
    assert threads(bench.context(), Needs(cpu=8)) == 8
