"""A project beside a real Ray, which runs its jobs one by one while the conductor is killed. Where nobody has
made an environment for Ray (`tests/ray_head.py`), it is skipped with a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_project import EngineProject
from node_scene import until

from conductor.adapters.engines.ray import RayEngine
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineJob

CONFIG = """
[engines.lab]
kind = "ray"
mode = "jobs"
url = "{url}"
max = 3
ram_mib = 1000
lanes = ["cpu"]
"""


class RayProject(EngineProject):
    url = ""

    def there(self) -> dict[str, EngineJob]:
        """What Ray knows of this project's jobs, by key."""
        return dict(RayEngine(EngineSettings(kind="ray", url=self.url), "cdr-").watch().jobs)

    def keys(self, state: str) -> list[str]:
        return [key for key, job in self.there().items() if job.state == state]


@pytest.fixture
def project(ray_url: str, tmp_path: Path) -> Iterator[RayProject]:
    with RayProject.opened(tmp_path, CONFIG.format(url=ray_url)) as project:
        project.url = ray_url
        yield project


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_runs_jobs_one_by_one_through_kills_and_what_is_cancelled_leaves_it(project: RayProject) -> None:
    before = set(project.there())
    project.dispatch(seconds=20, count=4)
    project.conduct()
    until(lambda: len(project.keys("running")) == 2 and project.keys("pending"), limit_s=200.0, every_s=0.5)
    waits = project.keys("pending")[0].rsplit("-", 2)[1]
    assert "submitted to lab: Ray says" in project.run("explain", waits).stdout

    project.kill_conductor()
    project.conduct()
    assert project.run("cancel", waits).returncode == 0

    until(lambda: len(project.jobs("done")) == 3, limit_s=300.0, every_s=1.0)
    until(lambda: not project.keys("running") + project.keys("pending"), limit_s=90.0, every_s=0.5)
    assert len(set(project.there()) - before) <= 4, "one submission for each"
    assert [job_id[:16] for job_id in project.jobs("cancelled")] == [waits[:16]]
    assert project.run("audit").returncode == 0
