"""compose.yaml: its form, and its very commands and health checks as processes, on a real Valkey."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_scene import CONFIG, Command, project_processes, until

from conductor.base.settings.settings import CONFIG_NAME, Settings, load

COMPOSE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "compose.yaml").read_text(encoding="utf-8")
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name in SERVICES if name != "valkey"]
#: Of a service, by the compose specification; what is not here is a slip of the pen, or to be added.
KEYS = {
    "command", "depends_on", "deploy", "env_file", "environment", "healthcheck", "hostname", "image", "init",
    "network_mode", "ports", "profiles", "restart", "stop_grace_period", "volumes", "working_dir",
}  # fmt: skip
PROGRAM = "/venv/env/bin/"


def seconds(text: str) -> float:
    """Of «6m30s»."""
    assert re.fullmatch(r"(\d+[smh])+", text), text
    return sum(int(n) * {"s": 1, "m": 60, "h": 3600}[unit] for n, unit in re.findall(r"(\d+)([smh])", text))


def words_of(name: str) -> list[str]:
    shell, flag, line = SERVICES[name]["command"]
    assert (shell, flag) == ("sh", "-c")
    return line.partition(f" && exec {PROGRAM}conductor ")[2].split()


def test_its_top_has_services_volumes_and_extensions_only():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_known_keys_and_all_that_keeps_it_running(name: str):
    service = SERVICES[name]
    assert service.keys() <= KEYS
    assert service["restart"] == "unless-stopped"
    assert seconds(service["stop_grace_period"]) >= 30
    health = service["healthcheck"]
    assert health["test"][0] in ("CMD", "CMD-SHELL")
    assert all(seconds(health[key]) > 0 for key in ("interval", "timeout", "start_period") if key in health)
    assert set(service.get("depends_on", {})) <= SERVICES.keys()
    named = {volume.split(":")[0] for volume in service["volumes"]} - {"."}
    assert named <= COMPOSE["volumes"].keys()
    # What listens for other hosts has to have a token; these have none.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not ("network_mode" in service and ("ports" in service or "hostname" in service))


@pytest.mark.parametrize("name", ["node", "node-gpu"])
def test_a_node_is_killed_only_after_its_drain(name: str):
    words = words_of(name)
    drain = float(words[words.index("--drain-for") + 1])
    assert seconds(SERVICES[name]["stop_grace_period"]) >= drain + 60


def test_one_profile_a_kind_of_host_and_the_gpu_is_reserved():
    assert [SERVICES[name].get("profiles") for name in ("node", "node-gpu", "conductor", "web")] == [
        ["cpu"], ["gpu"], None, None,
    ]  # fmt: skip
    assert SERVICES["node"]["hostname"] == SERVICES["node-gpu"]["hostname"]
    (device,) = SERVICES["node-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and "gpu" in device["capabilities"]
    assert "venv-gpu:/venv" in SERVICES["node-gpu"]["volumes"]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    # As in the containers: the Redis comes by the environment, the node's name from the host.
    ours = CONFIG.replace('node = "here"', 'node = "node1"').replace(
        "[web]\nis_on = false", "[web]\nport = 0"
    )
    (tmp_path / CONFIG_NAME).write_text(ours)
    monkeypatch.setenv("CONDUCTOR_REDIS__URL", redis_url)
    monkeypatch.setenv("CONDUCTOR_PROJECT", str(tmp_path))
    yield load(tmp_path)
    for process in project_processes(tmp_path):
        process.kill()


def is_healthy(settings: Settings, name: str) -> bool:
    kind, check = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    check = check.replace(PROGRAM, f"{Path(sys.executable).parent}/")
    argv = ["sh", "-c", check]
    return (
        subprocess.run(argv, cwd=settings.project, capture_output=True, timeout=30, check=False).returncode
        == 0
    )


def test_the_commands_start_get_healthy_and_stop(settings: Settings):
    assert "CONDUCTOR_REDIS__URL" in os.environ
    names = [name for name in OURS if name != "node-gpu"]  # the same command on other packages
    assert words_of("node") == words_of("node-gpu")
    assert not any(is_healthy(settings, name) for name in names)
    with ExitStack() as stack:
        running: dict[str, Command] = {}
        for name in names:
            running[name] = Command(settings, *words_of(name))
            stack.callback(running[name].close)
        for name, command in running.items():
            until(lambda name=name: is_healthy(settings, name), 60.0, 0.2)
            assert command.process.poll() is None, command.said
        for command in running.values():
            command.process.terminate()
        for name, command in running.items():
            assert command.wait(30) == 0, (name, command.said)
            assert "Traceback" not in command.said
