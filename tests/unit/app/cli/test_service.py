"""`conductor service` on files: what is written, what is not written over, what stays."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conductor.app.cli.app import app
from conductor.base.errors import ConfigError

TOOL = r"""#!/bin/sh
echo "$@" >>"$HOME/asked"
case "$*" in
  *" show "*)
    printf 'LoadState=loaded\nSubState=running\nStatusText=3 of 4 done\n'
    echo "ActiveState=$(cat "$HOME/state")" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the night"
    folder.mkdir()
    (folder / "conductor.toml").write_text("[web]\ntoken_env = 'NIGHT_TOKEN'\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(TOOL)
    (tools / "systemctl").chmod(0o755)
    (tmp_path / "state").write_text("inactive")
    monkeypatch.setenv("CONDUCTOR_PROJECT", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return folder


def service(*words: str) -> Result:
    return CliRunner().invoke(app, ["service", *words])


def unit_of(tmp_path: Path) -> Path:
    return tmp_path / "config/systemd/user/conductor-the-night.service"


def test_it_is_written_once_with_a_file_for_secrets_that_only_its_owner_reads(project: Path, tmp_path: Path):
    done = service("install", "--user")
    assert done.exit_code == 0, done.output
    assert "next: systemctl --user enable --now conductor-the-night" in done.output
    secrets = tmp_path / "config/conductor/conductor-the-night.env"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600 and "#NIGHT_TOKEN=" in secrets.read_text()
    assert f'"--project" "{project}" "up"' in unit_of(tmp_path).read_text()
    assert "daemon-reload" in (tmp_path / "asked").read_text()

    secrets.write_text("NIGHT_TOKEN=typed\n")
    secrets.chmod(0o644)
    again = service("install", "--user")
    assert again.exit_code == 0 and "unchanged" in again.output
    assert secrets.read_text() == "NIGHT_TOKEN=typed\n"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600


def test_a_unit_that_says_something_else_is_not_written_over(project: Path, tmp_path: Path):
    assert service("install", "--user").exit_code == 0
    unit_of(tmp_path).write_text("[Service]\nExecStart=/bin/mine\n")
    refused = service("install", "--user")
    assert isinstance(refused.exception, ConfigError) and "--force" in str(refused.exception)
    assert "mine" in unit_of(tmp_path).read_text()
    assert service("install", "--user", "--force").exit_code == 0
    assert "mine" not in unit_of(tmp_path).read_text()


def test_print_writes_nothing(project: Path, tmp_path: Path):
    done = service("install", "--user", "--node", "--print", "--drain-for", "60")
    assert done.exit_code == 0 and '"node" "--drain-for" "60"' in done.output
    assert not (tmp_path / "config").exists()


def test_status_says_what_it_does_and_its_exit_code_whether_it_runs(project: Path, tmp_path: Path):
    missing = service("status", "--user")
    assert missing.exit_code == 1 and "): conductor service install --user\n" in missing.output
    assert service("install", "--user").exit_code == 0
    assert service("status", "--user").exit_code == 1
    (tmp_path / "state").write_text("active")
    there = service("status", "--user")
    assert there.exit_code == 0 and "is active (running): 3 of 4 done" in there.output
    value = json.loads(service("status", "--user", "--json").output)
    assert (value["state"], value["is_installed"]) == ("active", True)


def test_what_runs_is_not_removed_and_secrets_stay(project: Path, tmp_path: Path):
    assert service("install", "--user").exit_code == 0
    (tmp_path / "state").write_text("active")
    refused = service("uninstall", "--user")
    assert isinstance(refused.exception, ConfigError) and "systemctl --user stop" in str(refused.exception)
    (tmp_path / "state").write_text("inactive")
    assert service("uninstall", "--user").exit_code == 0
    assert not unit_of(tmp_path).exists()
    assert (tmp_path / "config/conductor/conductor-the-night.env").exists()
    assert "nothing to remove" in service("uninstall", "--user").output


def test_without_a_service_manager_the_files_are_written_and_the_rest_is_said(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nonexistent")
    done = service("install", "--user")
    assert done.exit_code == 0 and "next: systemctl --user daemon-reload && " in done.output
    assert "no systemd answers here" in service("status", "--user").output
