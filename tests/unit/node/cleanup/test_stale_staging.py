from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conductor.base.files.paths import KEPT
from conductor.node.cleanup.stale_staging import clean_ended, clean_staging

ID = "abcdefgh"
HOUR = 3600.0


def ledger(**job: Any) -> Any:
    """A ledger that knows one job."""
    view = SimpleNamespace(**{"state": "waiting", "cause": None, "failures": {}, "reservation": None, **job})
    return SimpleNamespace(
        failures={}, jobs=SimpleNamespace(job=lambda job_id: view if job_id == ID and job else None)
    )


def attempt(root: Path, name: str = f"{ID}.1.0a1b2c3d", age_s: float = HOUR) -> Path:
    folder = root / ".tmp" / name
    folder.mkdir(parents=True)
    (folder / "out.mp4").write_bytes(b"x")
    then = time.time() - age_s
    for path in (folder / "out.mp4", folder):
        os.utime(path, (then, then))
    return folder


def run(root: Path, of: Any) -> list[Path]:
    return clean_staging([root], of, time.time())


def test_a_stale_folder_of_an_attempt_that_is_over_is_removed(tmp_path: Path):
    folder = attempt(tmp_path)
    assert run(tmp_path, ledger(state="running", reservation=SimpleNamespace(attempt=2))) == [folder]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("why", "age_s", "job"),
    [
        ("the attempt is active", HOUR, {"state": "running", "reservation": SimpleNamespace(attempt=1)}),
        ("something in it was just written", 1.0, {"state": "done"}),
        ("its output waits to be published", HOUR, {"state": "waiting", "cause": "publish_failed"}),
        (
            "its output may be published by an operator's retry",
            HOUR,
            {"state": "dead", "cause": "publish_failed"},
        ),
        ("the job may be another project's", HOUR, {}),
    ],
)
def test_a_folder_stays_while(tmp_path: Path, why: str, age_s: float, job: dict[str, Any]):
    folder = attempt(tmp_path, age_s=age_s)
    assert run(tmp_path, ledger(**job)) == []
    assert folder.exists()


def test_a_stranger_s_folder_goes_after_a_day(tmp_path: Path):
    folder = attempt(tmp_path, age_s=25 * HOUR)
    assert run(tmp_path, ledger()) == [folder]


def test_links_and_other_names_are_left_alone(tmp_path: Path):
    elsewhere = attempt(tmp_path / "elsewhere")
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / f"{ID}.1").symlink_to(elsewhere)
    attempt(tmp_path, "notes")
    assert run(tmp_path, ledger(state="done")) == []
    assert (elsewhere / "out.mp4").exists()


def test_a_root_that_is_not_there_is_no_error(tmp_path: Path):
    assert run(tmp_path / "nothing", ledger()) == []


@pytest.mark.parametrize("state", ["done", "dead", "cancelled"])
def test_what_a_job_left_that_has_ended_is_removed_however_fresh(tmp_path: Path, state: str):
    folder, stranger = attempt(tmp_path, age_s=0.0), attempt(tmp_path, "strangers.1", age_s=0.0)
    assert clean_ended([tmp_path], ledger(state=state, cause="worker_lost")) == [folder]
    assert stranger.exists()


@pytest.mark.parametrize("state", ["waiting", "admitted", "running"])
def test_what_a_job_left_that_goes_on_is_not_touched_while_fresh(tmp_path: Path, state: str):
    attempt(tmp_path, age_s=0.0)
    assert clean_ended([tmp_path], ledger(state=state)) == []


def test_what_a_dead_job_could_not_publish_stays(tmp_path: Path):
    folder = attempt(tmp_path)
    assert clean_ended([tmp_path], ledger(state="dead", cause="publish_failed")) == []
    (folder / KEPT).write_text("{}")
    assert clean_ended([tmp_path], ledger(state="dead", cause="worker_lost")) == []


DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("age_s", "job", "goes"),
    [
        (8 * DAY, {"state": "done"}, True),
        (8 * DAY, {"state": "cancelled"}, True),
        (6 * DAY, {"state": "done"}, False),
        (8 * DAY, {"state": "waiting"}, False),
        (800 * DAY, {"state": "dead"}, False),
        (29 * DAY, {}, False),
        (31 * DAY, {}, True),
    ],
)
def test_what_was_put_aside_goes_after_a_week_where_its_job_is_over(
    tmp_path: Path, age_s: float, job: dict[str, Any], goes: bool
):
    folders = [attempt(tmp_path, f"aside/{ID}.{name}", age_s) for name in ("1", "2.0a1b2c3d")]
    kept = attempt(tmp_path, "aside/somebody else's", 800 * DAY)

    assert run(tmp_path, ledger(**job)) == (folders if goes else [])
    assert [folder.exists() for folder in folders] == [not goes] * 2 and kept.exists()


DAY = 86_400.0


@pytest.mark.parametrize(
    ("age_s", "job", "is_removed"),
    [
        (1.0, {"state": "done"}, True),
        (1.0, {"state": "cancelled"}, True),
        (1.0, {"state": "done", "reservation": SimpleNamespace(attempt=2)}, False),
        (6 * DAY, {"state": "dead"}, False),
        (8 * DAY, {"state": "dead"}, True),
        (8 * DAY, {"state": "waiting"}, False),
        (29 * DAY, {}, False),
        (31 * DAY, {}, True),
    ],
)
def test_what_a_job_has_so_far_stays_until_it_has_ended(
    tmp_path: Path, age_s: float, job: dict[str, Any], is_removed: bool
):
    folder = attempt(tmp_path, f"checkpoints/{ID}.1.0a1b2c3d", age_s)
    of = ledger(**job)
    assert bool({*run(tmp_path, of), *clean_ended([tmp_path], of)}) is is_removed
    assert folder.exists() is not is_removed
