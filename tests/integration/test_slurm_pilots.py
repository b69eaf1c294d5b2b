"""A project beside a real Slurm: its work waits, a pilot comes, does it and is given back, while conductor
and controller are killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import a_free_port
from node_scene import until
from slurm_daemons import SlurmDaemons, is_unpacked, running_slurm

from conductor.adapters.redis.valkey_binary import find_binary

CONFIG = """
[redis]
url = "redis://127.0.0.1:{port}"
is_volatile_ok = true

[engines.lab]
kind = "slurm"
max = 2
time_s = 300
idle_s = 2
cpus = 1
ram_mib = 1000
lanes = ["cpu"]
licences = {{nuke = 1}}
"""


class LabProject:
    def __init__(self, folder: Path, slurm: SlurmDaemons) -> None:
        self.folder, self.slurm = folder, slurm
        self._conductor: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-P", "-m", "conductor", *words)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def conduct(self) -> None:
        with (self.folder / "conduct.out").open("ab") as out:
            command = (sys.executable, "-P", "-m", "conductor", "conduct")
            self._conductor = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out)

    def kill_conductor(self) -> None:
        assert self._conductor is not None
        self._conductor.kill()
        self._conductor.wait()

    def states(self) -> list[str]:
        return self.slurm.run("squeue", "--noheader", "--states=all", "--format=%T").split()

    def key(self) -> str:
        """Of the pilot that runs."""
        return self.slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%j").strip()

    def close(self) -> None:
        if self._conductor is not None:
            self._conductor.terminate()
            self._conductor.wait()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmDaemons]:
    if not is_unpacked():
        words = "no Slurm is unpacked here (scripts/slurm-for-tests)"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with running_slurm(tmp_path / "slurm", with_vram=False) as daemons:
        for name, value in daemons.environment.items():
            monkeypatch.setenv(name, value)
        yield daemons


@pytest.fixture
def project(lab: SlurmDaemons, tmp_path: Path) -> Iterator[LabProject]:
    port = a_free_port()
    (tmp_path / "conductor.toml").write_text(CONFIG.format(port=port))
    redis = subprocess.Popen(
        [find_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    project = LabProject(tmp_path, lab)
    yield project
    project.close()
    redis.kill()
    redis.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_work_that_waits_is_done_by_one_pilot_through_kills_and_the_pilot_is_given_back(
    project: LabProject,
) -> None:
    before = len(project.states())
    options = ("--mode", "sleep", "--seconds", "1", "--count", "6", "-o", "manifests/a.jsonl")
    assert project.run("plan", "system_test", *options).returncode == 0
    dispatched = project.run("dispatch", "manifests/a.jsonl")
    assert dispatched.returncode == 0, dispatched.stderr
    project.conduct()
    until(lambda: "RUNNING" in project.states(), limit_s=120.0)

    project.kill_conductor()
    project.slurm.await_saved(project.key())
    project.slurm.kill_controller()
    project.conduct()
    project.slurm.start_controller()

    until(lambda: project.run("verify", "manifests/a.jsonl").returncode == 0, limit_s=200.0, every_s=1.0)
    until(lambda: not {"RUNNING", "PENDING", "COMPLETING"} & set(project.states()), limit_s=90.0)
    assert len(project.states()) == before + 1, "one submission for all of it"
    assert project.run("audit").returncode == 0
