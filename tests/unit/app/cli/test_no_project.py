"""A folder that is no project, and a project in which nothing was done yet: said, and left as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import Cli

from conductor.adapters.redis import valkey
from conductor.base.settings.settings import load

NewCli = Callable[[Path], Cli]

READING = (
    ["status"],
    ["status", "--json"],
    ["top"],
    ["metrics"],
    ["audit"],
    ["explain", "k3v7"],
    ["needs"],
    ["price"],
    ["what-if", "--gpus", "1"],
    ["replay"],
    ["doctor"],
)
OTHERS = (
    ["pause", "gpu"],
    ["resume", "gpu"],
    ["drain"],
    ["cancel", "k3v7"],
    ["fail", "k3v7"],
    ["requeue", "k3v7"],
    ["retry", "k3v7"],
    ["retry", "--cause", "review"],
    ["redo", "k3v7"],
    ["rebuild"],
    ["backup", "b.tar.gz"],
    ["conduct", "--until-done"],
    ["web"],
    ["dashboard"],
    ["down"],
    ["node"],
    ["node", "--stop"],
)


@pytest.fixture
def cli_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> NewCli:
    def made(folder: Path) -> Cli:
        monkeypatch.chdir(folder)
        return Cli(folder, capsys, monkeypatch)

    return made


@pytest.mark.parametrize("argv", [*READING, *OTHERS], ids=" ".join)
def test_a_folder_that_is_no_project_says_so_and_stays_as_it_is(
    tmp_path: Path, cli_of: NewCli, argv: list[str]
):
    (tmp_path / "holiday.mp4").touch()
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "deployment.yaml").touch()
    before = sorted(tmp_path.rglob("*"))
    found = cli_of(tmp_path)(*argv)
    assert f"{tmp_path} is no project" in found.out + found.err
    assert found.code == (1 if argv == ["doctor"] else 3)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_who_only_looks_starts_nothing_where_nothing_was_done_yet(
    tmp_path: Path, cli_of: NewCli, argv: list[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "conductor.toml").touch()
    monkeypatch.setattr(valkey, "start", lambda place: pytest.fail("a server was started"))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    found = cli_of(tmp_path)(*argv)
    assert "unexpected error" not in found.err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "conductor.toml"]
    if argv[0] in ("status", "top", "metrics", "audit"):
        assert found.code == 0


def test_what_was_done_is_still_told_when_all_is_down(tmp_path: Path, cli_of: NewCli):
    (tmp_path / "conductor.toml").touch()
    cli = cli_of(tmp_path)
    assert cli("pause", "cpu").code == 0
    assert not valkey.is_running(load(tmp_path).valkey)
    assert cli("status", "--json").json["controls"]["paused_lanes"] == ["cpu"]


def test_a_manifest_that_is_not_there_begins_no_project(tmp_path: Path, cli_of: NewCli):
    found = cli_of(tmp_path)("dispatch", "manifests/none.jsonl")
    assert (found.code, list(tmp_path.iterdir())) == (3, [])
    assert "manifests/none.jsonl does not exist: plan it first" in found.err


def test_a_plan_begins_one(tmp_path: Path, cli_of: NewCli):
    cli = cli_of(tmp_path)
    assert cli("plan", "system_test", "--count", "1").code == 0
    assert cli("status").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["manifests"]
