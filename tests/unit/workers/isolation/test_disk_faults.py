"""A disk that went away under a body is the disk's fault; nothing else is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from conductor.adapters.files import suspect_roots
from conductor.adapters.host import disk_child
from conductor.adapters.host.disk_probe import DiskProbe
from conductor.base.errors import BadInput, JobError
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings
from tests.unit.workers.attempt.test_publish import B, a_job, settings
from workers.isolation import disk_faults
from workers.task_api import failure_causes

__all__ = ["settings"]

GONE = ["EROFS", "EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "ENODEV"]


def blamed(settings: Settings, error: BaseException) -> failure_causes.AttemptFault:
    return disk_faults.of_roots(
        settings.layout, a_job(0, B), "1", error, failure_causes.of_exception(error, has_device=False)
    )


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Nothing can be synced below any root."""

    def fail(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("name", GONE)
def test_an_output_that_cannot_be_written_is_its_roots_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
):
    number = getattr(errno, name)
    refuse(monkeypatch, number)

    fault = blamed(settings, OSError(number, os.strerror(number)))

    assert fault.cause == "publish_failed" and not fault.is_lasting
    assert fault.message.startswith(f"published cannot be written to: {os.strerror(number)}")


def test_a_program_that_met_it_is_understood_by_its_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    refuse(monkeypatch, errno.EROFS)
    assert (
        blamed(settings, JobError("ffmpeg failed on a.mp4: out.mp4: Read-only file system")).cause
        == "publish_failed"
    )


@pytest.mark.parametrize("name", GONE)
def test_a_root_that_can_be_written_to_is_not_blamed(settings: Settings, name: str):
    """A server that does not answer, an input on a broken disk."""
    number = getattr(errno, name)
    assert blamed(settings, OSError(number, os.strerror(number))).cause == "task_error"
    assert list((settings.project / "published").glob(".tmp/*/*")) == [], "nothing of the trial is left"


def test_other_errors_do_not_touch_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch, errno.EIO)
    assert blamed(settings, ValueError("no")).cause == "task_error"
    assert blamed(settings, BadInput("Input/output error")).cause == "bad_input"
    assert blamed(settings, OSError(errno.ENOSPC, "full")).cause == "no_space"


# ── its gate ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_root_under_suspicion_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert disk_child.trial(str(tmp_path)) == {}
    assert list((tmp_path / ".tmp").iterdir()) == []
    refuse(monkeypatch, errno.ENOSPC)
    assert disk_child.trial(str(tmp_path)) == {}
    refuse(monkeypatch, errno.EIO)
    assert disk_child.trial(str(tmp_path)) == {
        "fault": f"{tmp_path} cannot be written to: Input/output error"
    }


def test_the_probe_hands_the_suspicion_on(tmp_path: Path):
    (tmp_path / ".tmp").write_text("no folder: nothing can be written below it")
    probe = DiskProbe({"published": Root(path=tmp_path)})
    try:
        assert probe.read()[0].fault is None
        assert "File exists" in str(probe.read(suspects={"published"})[0].fault)
    finally:
        probe.close()


def test_suspicions_are_told_read_and_cleared(tmp_path: Path):
    folder = tmp_path / "suspects"
    assert suspect_roots.read(folder) == frozenset()
    suspect_roots.tell(folder, ["published", "nas"])
    (folder / ".hidden").touch()
    assert suspect_roots.read(folder) == {"published", "nas"}
    suspect_roots.clear(folder, "nas")
    suspect_roots.clear(folder, "nas")
    assert suspect_roots.read(folder) == {"published"}
