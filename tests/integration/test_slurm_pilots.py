"""A project beside a real Slurm, while conductor and controller are killed: a pilot comes, does its work and
is given back; or Slurm runs the jobs one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_project import EngineProject
from node_scene import until
from slurm_daemons import SlurmDaemons, is_unpacked, running_slurm

CONFIG = """
[engines.lab]
kind = "slurm"
mode = "{mode}"
max = 2
time_s = 300
idle_s = 2
cpus = 1
ram_mib = 1000
lanes = ["cpu"]
licences = {{nuke = {licences}}}
"""


class LabProject(EngineProject):
    slurm: SlurmDaemons

    def states(self) -> list[str]:
        return self.slurm.run("squeue", "--noheader", "--states=all", "--format=%T").split()

    def key(self, state: str = "RUNNING") -> str:
        """Of the one that runs."""
        return self.slurm.run("squeue", "--noheader", f"--states={state}", "--format=%j").split()[0]


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
def project(lab: SlurmDaemons, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LabProject]:
    engine = CONFIG.format(mode=request.param, licences=2 if request.param == "jobs" else 1)
    with LabProject.opened(tmp_path, engine) as project:
        project.slurm = lab
        yield project


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("project", ["pilots"], indirect=True)
def test_work_that_waits_is_done_by_one_pilot_through_kills_and_the_pilot_is_given_back(
    project: LabProject,
) -> None:
    before = len(project.states())
    project.dispatch(seconds=1, count=6)
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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("project", ["jobs"], indirect=True)
def test_slurm_runs_jobs_one_by_one_through_kills_and_what_is_cancelled_leaves_its_queue(
    project: LabProject,
) -> None:
    before = len(project.states())
    project.dispatch(seconds=12, count=3)
    project.conduct()
    until(lambda: {"PENDING", "RUNNING"} <= set(project.states()), limit_s=120.0)
    waits = project.key("PENDING").rsplit("-", 2)[1]
    assert "submitted to lab: Slurm says" in project.run("explain", waits).stdout
    project.kill_conductor()
    project.slurm.await_saved(project.key())
    project.slurm.kill_controller()
    project.conduct()
    project.slurm.start_controller()
    assert project.run("cancel", waits).returncode == 0

    until(lambda: len(project.jobs("done")) == 2, limit_s=200.0, every_s=1.0)
    until(lambda: not {"RUNNING", "PENDING", "COMPLETING"} & set(project.states()), limit_s=90.0)
    assert len(project.states()) <= before + 3, "one submission for each"
    assert [job_id[:16] for job_id in project.jobs("cancelled")] == [waits]
    assert project.run("audit").returncode == 0
