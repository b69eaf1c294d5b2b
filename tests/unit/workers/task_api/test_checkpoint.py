"""What a job keeps between its attempts: whole, its own body's alone, and by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_bench import JOB_ID, Bench

from conductor.base.errors import BadInput, ConfigError, JobError, PublishFailed
from conductor.base.settings.settings import Settings, load
from workers.task_api.checkpoint import Checkpoint, folder_of, take

FIRST, SECOND = "1.0a1b2c3d", "2.9f8e7d6c"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Bench(tmp_path).settings


def taken(settings: Settings, body: str, code: str = "one") -> Checkpoint:
    return take(settings.layout, JOB_ID, body, code)


def test_the_next_attempt_finds_what_the_one_before_saved(settings: Settings):
    first = taken(settings, FIRST)
    assert first.load() is None
    first.save(b"half way")
    first.save(b"seeds", "seeds")
    (first.folder / "frames").mkdir()

    second = taken(settings, SECOND)

    assert (second.load(), second.load("seeds")) == (b"half way", b"seeds")
    assert second.folder == folder_of(settings.layout, JOB_ID, SECOND)
    assert (second.folder / "frames").is_dir() and not first.folder.exists()


def test_a_body_that_was_given_up_cannot_write_into_what_its_successor_reads(settings: Settings):
    first = taken(settings, FIRST)
    first.save(b"mine")
    second = taken(settings, SECOND)

    with pytest.raises(JobError, match="a later attempt"):
        first.save(b"late")
    with pytest.raises(JobError, match="a later attempt"):
        taken(settings, FIRST)

    assert second.load() == b"mine"


def test_what_other_code_wrote_is_dropped(settings: Settings):
    first = taken(settings, FIRST)
    first.save(b"of the old form")
    (first.folder / "deep").mkdir()
    (first.folder / "deep" / "file").touch()

    second = taken(settings, SECOND, code="two")

    assert second.load() is None and not (second.folder / "deep").exists()


def test_a_body_that_dies_while_it_saves_leaves_the_state_before(settings: Settings):
    first = taken(settings, FIRST)
    first.save(b"whole")
    (first.folder / ".state.draft").write_bytes(b"ha")  # What SIGKILL in the middle leaves.

    second = taken(settings, SECOND)

    assert second.load() == b"whole"
    second.save(b"next")
    assert second.load() == b"next"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".code", "..", "x" * 101])
def test_a_name_that_leads_elsewhere_is_refused(settings: Settings, name: str):
    first = taken(settings, FIRST)
    with pytest.raises(JobError, match="letters"):
        first.save(b"", name)
    with pytest.raises(JobError, match="letters"):
        first.load(name)


def test_other_names_on_the_shelf_are_nobody_s(settings: Settings, tmp_path: Path):
    shelf = folder_of(settings.layout, JOB_ID, FIRST).parent
    for name in (f"{JOB_ID}.old", f"{JOB_ID}", "b" * 24 + ".9.0a1b2c3d"):
        (shelf / name).mkdir(parents=True)
    taken(settings, FIRST).save(b"mine")
    assert sorted(each.name[24:] for each in shelf.iterdir()) == ["", f".{FIRST}", ".9.0a1b2c3d", ".old"]


def test_a_link_in_its_place_is_refused(settings: Settings, tmp_path: Path):
    mine = folder_of(settings.layout, JOB_ID, FIRST)
    mine.parent.mkdir(parents=True)
    mine.symlink_to(tmp_path)
    with pytest.raises(BadInput, match="symbolic link"):
        taken(settings, FIRST)


def test_a_root_of_the_settings_keeps_it(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text(
        'checkpoint_root = "nas"\n[roots.nas]\npath = "nas"\nmarker = ".here"\n'
    )
    bench = Bench(tmp_path)
    with pytest.raises(PublishFailed, match="nas is not mounted"):
        bench.context().checkpoint()
    (tmp_path / "nas" / ".here").touch()
    assert bench.context().checkpoint().folder.is_relative_to(tmp_path / "nas")


def test_a_root_that_nobody_declared_is_named(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('checkpoint_root = "nass"\n')
    with pytest.raises(
        ConfigError, match=r"checkpoint_root: no root is named 'nass' \(there are: published, scratch\)"
    ):
        load(tmp_path)
