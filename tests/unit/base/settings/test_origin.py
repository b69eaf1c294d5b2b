"""`config show --origin`: where each value comes from."""

from pathlib import Path

import pytest

from conductor.base.settings.origin import as_text, settings_with_origin
from conductor.base.settings.settings import load


def rows_of(folder: Path) -> dict[str, tuple[object, str]]:
    return {row.key: (row.value, row.origin) for row in settings_with_origin(load(folder))}


def test_each_value_names_the_variable_the_file_or_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "conductor.toml").write_text('[lanes.cpu]\nworkers = 3\n[roots.fast]\npath = "fast"\n')
    monkeypatch.setenv("CONDUCTOR_LANES__GPU__WORKERS", "2")

    rows = rows_of(tmp_path)

    assert rows["lanes.gpu.workers"] == (2, "$CONDUCTOR_LANES__GPU__WORKERS")
    assert rows["lanes.cpu.workers"] == (3, "conductor.toml")
    assert rows["lanes.cpu.depth"] == (2, "default")
    assert rows["roots.fast.path"] == (str(tmp_path / "fast"), "conductor.toml")
    assert rows["roots.scratch.path"] == (str(tmp_path / ".conductor/scratch"), "default")


def test_a_section_given_as_json_answers_for_what_it_names_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CONDUCTOR_LANES", '{"gpu": {"on_cpu": true}}')

    rows = rows_of(tmp_path)

    assert rows["lanes.gpu.on_cpu"] == (True, "$CONDUCTOR_LANES")
    assert rows["lanes.cpu.depth"] == (2, "default")


def test_a_password_in_an_address_is_not_shown(tmp_path: Path):
    (tmp_path / "conductor.toml").write_text('[redis]\nurl = "redis://me:secret@studio:6379/0"\n')

    assert rows_of(tmp_path)["redis.url"] == ("redis://me:***@studio:6379/0", "conductor.toml")


def test_values_are_written_as_toml_would():
    assert [as_text(v) for v in (None, True, 2, "a", ["x"])] == ["(none)", "true", "2", '"a"', '["x"]']
