"""What a manifest comes from stands beside it: plan, arguments, commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import orjson
import pytest

from conductor.app.workflow_lookup import plan
from conductor.base.settings.settings import load
from conductor.planning.origin import origin_file


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *author, *words], text=True).strip()


def planned(project: Path, *options: str) -> dict[str, object]:
    path, _ = plan("system_test", ["--mode", "debug", "--count", "2", *options], load(project).for_code)
    return orjson.loads(origin_file(path).read_bytes())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conductor.toml").write_text("")
    return tmp_path


def test_a_manifest_says_its_plan_its_arguments_and_the_commit(project: Path):
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    head = git(project, "rev-parse", "HEAD")

    said = planned(project)

    assert {name: said[name] for name in ("plan", "arguments", "commit", "jobs")} == {
        "plan": "system_test",
        "arguments": ["--mode", "debug", "--count", "2"],
        "commit": head,
        "jobs": 2,
    }
    # Manifests are kept in git, too: a new one is no change of what it was made by.
    git(project, "add", ".")
    git(project, "commit", "-qm", "planned")
    manifest = next((project / "manifests").glob("*.jsonl"))
    manifest.write_text("")
    assert planned(project)["commit"] == git(project, "rev-parse", "HEAD")
    (project / "conductor.toml").write_text("# another\n")
    assert planned(project)["commit"] == git(project, "rev-parse", "HEAD") + "+changes"


def test_without_a_repository_and_before_its_first_commit_no_commit_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert planned(project)["commit"] is None

    git(project, "init", "-q")
    assert planned(project)["commit"] is None


def test_a_secret_among_the_arguments_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_API_KEY", "sk-hush-0123456789abcdef")
    endpoint = '[endpoints.mine]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "MY_API_KEY"\n'
    (project / "conductor.toml").write_text(endpoint)

    assert "sk-hush" not in str(planned(project, "--tag", "sk-hush-0123456789abcdef")["arguments"])
