"""The options of every plan, wherever they stand on its line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from conductor.base.settings.settings import load
from conductor.planning import job, run_plan
from conductor.record.manifest import read


def with_kinds(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("one").add_argument("--count", type=int, default=1)


def one_echo(options: Namespace, settings: object):
    yield job("kinds", "diagnostics.echo", {"kind": options.kind, "count": options.count})


@pytest.mark.parametrize("behind", [True, False])
def test_a_hook_or_schedule_can_plan_a_kind_with_options_of_its_own(tmp_path: Path, behind: bool):
    (tmp_path / "conductor.toml").touch()
    own, common = ["one", "--count", "3"], ["-o", str(tmp_path / "m.jsonl"), "--tag", "nightly-1"]
    argv = [*own, *common] if behind else [*common, *own]

    path, jobs = run_plan(
        "kinds", "", with_kinds, one_echo, lambda _: "m.jsonl", argv, load(tmp_path).for_code
    )

    (spec,) = read(path)
    assert (path, jobs, spec.tag, spec.args) == (
        tmp_path / "m.jsonl",
        1,
        "nightly-1",
        {"kind": "one", "count": 3},
    )


def test_what_is_planned_anew_leaves_the_manifest_of_before_where_it_is(tmp_path: Path):
    (tmp_path / "conductor.toml").touch()
    first, second, again = (
        run_plan("kinds", "", with_kinds, one_echo, lambda _: "m.jsonl", argv, load(tmp_path).for_code)[0]
        for argv in (["one"], ["one", "--tag", "nightly-1"], ["one", "--tag", "nightly-1"])
    )

    assert (first.name, second.name, again) == ("m.jsonl", "m-nightly-1.jsonl", second)
    assert ([s.tag for s in read(first)], [s.tag for s in read(second)]) == ([""], ["nightly-1"])


def test_the_help_has_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "conductor.toml").touch()
    with pytest.raises(SystemExit) as ended:
        run_plan(
            "kinds", "", with_kinds, one_echo, lambda _: "", ["--tag", "a b", "one"], load(tmp_path).for_code
        )
    assert ended.value.code == 2 and "is to be up to 64 letters" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_plan("kinds", "", with_kinds, one_echo, lambda _: "", ["--help"], load(tmp_path).for_code)
    said = capsys.readouterr().out
    assert all(word in said for word in ("--output", "--inputs-by", "--tag", "one"))
