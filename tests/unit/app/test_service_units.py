"""The units: what systemd reads out of them, whatever the folders are called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.app.service_units import ServiceWish, environment_text, service_name, unit_text
from conductor.base.errors import ConfigError

ODD = '50% of $HOME\'s "night" \\x'


def a_wish(folder: Path, is_node: bool = False, owner: str = "root") -> ServiceWish:
    return ServiceWish(
        name="conductor-night",
        project=folder,
        python=Path(sys.executable),
        environment_file=folder / "s.env",
        words=("node",) if is_node else ("up",),
        owner=owner,
        group=owner,
    )


def fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("owner", ["root", ""], ids=["system", "user"])
@pytest.mark.parametrize("is_node", [False, True], ids=["up", "node"])
@pytest.mark.parametrize("folder", ["night", ODD])
def test_systemd_finds_no_fault_in_it(tmp_path: Path, folder: str, is_node: bool, owner: str):
    if (program := shutil.which("systemd-analyze")) is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no systemd-analyze: .ci/run installs it")
        pytest.skip("no systemd-analyze here (Debian: apt install systemd)")
    unit = tmp_path / "conductor-night.service"
    unit.write_text(unit_text(a_wish(tmp_path / folder, is_node, owner)), encoding="utf-8")
    scope = [] if owner else ["--user"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    argv = [program, *scope, "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)
    about = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, about) == (0, []), done.stderr


def test_up_speaks_through_its_conductor_and_drains_within_the_time_it_has(tmp_path: Path):
    text = unit_text(a_wish(tmp_path))
    said = fields(text)
    assert (said["Type"], said["NotifyAccess"]) == ("notify", "all")
    assert said["ExecStart"].endswith('"up" "--drain-for" "300"')
    assert int(said["TimeoutStopSec"]) > 300 + 5 + 15
    assert (said["Restart"], said["KillMode"], said["Delegate"]) == ("on-failure", "mixed", "yes")
    assert "After=conductor-night-node.service" in text.splitlines()
    assert said["User"] == "root" and said["WantedBy"] == "multi-user.target"


def test_nothing_in_it_takes_the_devices_or_their_helpers_away(tmp_path: Path):
    said = fields(unit_text(a_wish(tmp_path)))
    harmful = {
        "NoNewPrivileges", "PrivateDevices", "DeviceAllow", "ProtectClock", "MemoryDenyWriteExecute",
        "ProtectControlGroups", "ProtectProc", "PrivateTmp", "ProtectHome", "RestrictNamespaces",
    }  # fmt: skip
    assert not harmful & said.keys()


def test_a_user_has_neither_an_owner_nor_what_only_root_may_ask(tmp_path: Path):
    said = fields(unit_text(a_wish(tmp_path, is_node=True, owner="")))
    assert not {"User", "Group", "CapabilityBoundingSet", "ProtectSystem"} & said.keys()
    assert said["WantedBy"] == "default.target" and said["NotifyAccess"] == "main"


def test_blanks_percents_dollars_and_quotes_stay_what_they_are(tmp_path: Path):
    said = fields(unit_text(a_wish(Path('/srv/50% $x "a" b'))))
    assert '"--project" "/srv/50%% $$x \\"a\\" b"' in said["ExecStart"]
    assert said["EnvironmentFile"] == '-/srv/50%% $x "a" b/s.env'
    assert said["RequiresMountsFor"] == '"/srv/50%% $x \\"a\\" b"'


@pytest.mark.parametrize("name", ["a\nExecStartPre=/bin/x", "blank ", "a\\", "\x1b[2J"])
def test_what_a_unit_cannot_say_is_refused(name: str):
    with pytest.raises(ConfigError, match="cannot be written in a systemd unit"):
        unit_text(a_wish(Path(f"/srv/{name}")))


def test_a_service_is_called_by_its_folder():
    assert service_name(Path("/srv/my night%"), is_node=False) == "conductor-my-night"
    assert service_name(Path("/srv/%"), is_node=True) == "conductor-project-node"
    assert service_name(Path("/srv/x"), is_node=False, name="films") == "films"
    with pytest.raises(ConfigError, match="names no service"):
        service_name(Path("/srv/x"), is_node=False, name="../x")


def test_the_file_of_secrets_names_them_and_holds_none():
    assert environment_text({"B_TOKEN", "A_KEY"}).splitlines()[1:] == ["#A_KEY=", "#B_TOKEN="]
