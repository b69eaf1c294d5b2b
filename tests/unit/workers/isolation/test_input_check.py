"""What a body reads is held against its line before it and against itself behind it; marks by time and by
content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from conductor.adapters.files.hash_cache import HashCache
from conductor.base.errors import BadInput, ConfigError, JobError
from conductor.base.files import fingerprint as fingerprints
from conductor.base.files.fingerprint import fingerprint, state_of
from conductor.base.files.paths import open_to_read, resolve
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec
from conductor.planning import input_of, inputs_by, job, run_plan
from tests.builders import a_spec
from workers.isolation.input_check import Inputs

KEPT_NS = 1_700_000_000_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("in", "published", "state"):
        (tmp_path / name).mkdir()
    root = Root(path=tmp_path / "published")
    return Settings(
        project=tmp_path, state_dir=tmp_path / "state", inputs=(tmp_path / "in",), roots={"published": root}
    )


def written(file: Path, text: str) -> Path:
    """Always the same size and date: what a time does not tell."""
    file.write_text(text)
    os.utime(file, ns=(KEPT_NS, KEPT_NS))
    return file


def reading(file: Path, by: fingerprints.InputsBy = "time") -> JobSpec:
    return job("w", "diagnostics.echo", {}, inputs={str(file): fingerprint(file, by)})


def edited(file: Path) -> None:
    file.write_text("NEWER")


def edited_with_its_date_kept(file: Path) -> None:
    written(file, "NEW")


def edited_and_put_back(file: Path) -> None:
    edited(file)
    written(file, "OLD")


def exchanged_for_a_copy_of_that_date(file: Path) -> None:
    other = file.with_name("other")
    shutil.copy2(file, other)
    other.replace(file)


def removed(file: Path) -> None:
    file.unlink()


HARMS = [edited, edited_with_its_date_kept, edited_and_put_back, exchanged_for_a_copy_of_that_date, removed]


@pytest.mark.parametrize("by", ["time", "content"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_is_written_to_under_the_body_is_noticed_whatever_its_dates(
    settings: Settings, harm: Callable[[Path], None], by: fingerprints.InputsBy
) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    inputs = Inputs(reading(file, by), settings.layout)
    inputs.check()
    harm(file)
    with pytest.raises(JobError) as fault:
        inputs.check_again()
    is_as_planned = fingerprint(file, by) == inputs._spec.inputs[str(file)] if file.exists() else False  # pyright: ignore[reportPrivateUsage]
    assert (fault.value.cause == "bad_input") == (not is_as_planned), (
        "what is as it was planned may be tried again"
    )


def test_what_nobody_touched_passes(settings: Settings) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    inputs = Inputs(reading(file), settings.layout)
    inputs.check()
    file.read_bytes()
    inputs.check_again()


def test_so_is_the_output_of_another_job_but_for_links_that_come_and_go(settings: Settings) -> None:
    file = settings.roots["published"].path / "b.txt"
    file.write_text("of another job")
    inputs = Inputs(a_spec(1, reads=("published:b.txt", "published:none.txt")), settings.layout)
    inputs.check()
    os.link(file, file.with_name("staged"))
    inputs.check_again()
    file.write_text("of another body")
    with pytest.raises(JobError, match=r"published:b\.txt.*changed while"):
        inputs.check_again()


def test_by_content_a_copy_of_another_date_is_the_same_and_one_of_the_same_date_is_not(
    settings: Settings,
) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    by_time, by_content = reading(file), reading(file, "content")
    os.utime(file, ns=(1, 1))
    Inputs(by_content, settings.layout).check()
    with pytest.raises(BadInput, match="plan again"):
        Inputs(by_time, settings.layout).check()
    written(file, "NEW")
    Inputs(by_time, settings.layout).check()
    with pytest.raises(BadInput, match="plan again"):
        Inputs(by_content, settings.layout).check()


def test_a_file_is_hashed_once_for_each_of_its_states(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    later = state_of(file).ctime_ns / 1e9 + 10
    cache = HashCache(settings.state_dir, lambda: later)
    first = cache.sha256(file, state_of(file))
    monkeypatch.setattr("conductor.adapters.files.hash_cache.sha256_of", lambda *_: "read")
    assert cache.sha256(file, state_of(file)) == first
    written(file, "NEW")
    assert cache.sha256(file, state_of(file)) == "read"


def test_a_file_that_changed_just_now_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    cache = HashCache(settings.state_dir)
    cache.sha256(file, state_of(file))
    monkeypatch.setattr("conductor.adapters.files.hash_cache.sha256_of", lambda *_: "read")
    assert cache.sha256(file, state_of(file)) == "read"


def test_without_a_place_for_it_files_are_just_read(settings: Settings) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    (settings.state_dir / "hashes.db").mkdir()
    assert len(HashCache(settings.state_dir, lambda: 1e12).sha256(file, state_of(file))) == 64


def test_the_command_line_is_over_the_root_and_the_root_over_the_project(settings: Settings) -> None:
    inside = written(settings.inputs[0] / "a.txt", "OLD")
    root = Root(path=settings.inputs[0], inputs_by="content")
    mixed = msgspec.structs.replace(settings, roots={"clips": root})
    assert inputs_by(inside, settings.for_code) == "time"
    assert inputs_by(inside, mixed.for_code) == "content"
    assert inputs_by(settings.project / "b.txt", mixed.for_code) == "time"
    marks: list[str] = []

    def plan(*_: object) -> list[JobSpec]:
        marks.extend(input_of(inside).values())
        return []

    to = ["-o", str(settings.project / "m.jsonl")]
    for argv in (to, [*to, "--inputs-by", "time"]):
        run_plan("p", "", lambda parser: None, plan, lambda options: "m.jsonl", argv, mixed.for_code)
    assert [mark.startswith("sha256-") for mark in marks] == [True, False]


# ── links ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_named_through_a_link_to_the_project_is_read_where_it_really_lies(settings: Settings) -> None:
    file = written(settings.inputs[0] / "a.txt", "OLD")
    link = settings.project / "opened-as"
    link.symlink_to(settings.inputs[0])
    given = str(link / "a.txt")
    assert resolve(settings.layout, given, for_writing=False) == file
    with open_to_read(settings.layout, given) as stream:
        assert stream.read() == b"OLD"


def test_a_link_may_lead_from_one_folder_that_jobs_read_into_another_and_nowhere_else(
    settings: Settings,
) -> None:
    other, outside = settings.project / "clips", settings.project / "outside"
    for folder in (other, outside):
        folder.mkdir()
        written(folder / "a.txt", "OLD")
    (settings.inputs[0] / "in").symlink_to(other)
    (settings.inputs[0] / "out").symlink_to(outside)
    both = msgspec.structs.replace(settings, inputs=(settings.inputs[0], other))

    assert resolve(both.layout, str(settings.inputs[0] / "in/a.txt"), for_writing=False) == other / "a.txt"
    for path in (settings.inputs[0] / "out/a.txt", outside / "a.txt"):
        with pytest.raises(BadInput, match=r"leads out|not below"):
            resolve(both.layout, str(path), for_writing=False)


def test_what_no_job_may_read_is_refused_when_it_is_planned(settings: Settings) -> None:
    outside = settings.project / "outside.txt"
    outside.write_text("x")
    link = settings.inputs[0] / "a.txt"
    link.symlink_to(outside)
    with pytest.raises(ConfigError, match="leads out"):
        run_plan(
            "p",
            "",
            lambda parser: None,
            lambda *_: [input_of(link)],
            lambda options: "m.jsonl",
            [],
            settings.for_code,
        )  # type: ignore[list-item, arg-type, return-value]
