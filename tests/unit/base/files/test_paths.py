"""Paths of a manifest never lead out of the folders that were declared."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from conductor.base.errors import BadInput
from conductor.base.files.paths import resolve, split
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "root").mkdir()
    (tmp_path / "videos").mkdir()
    return Settings(
        project=tmp_path, roots={"scratch": Root(path=tmp_path / "root")}, inputs=(tmp_path / "videos",)
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["a b.mp4", 'it\'s "this".mp4', "new\nline.mp4", "%03d.mp4", "-i.mp4", "ü", "a:b", "\\"]
)
@pytest.mark.parametrize("for_writing", [True, False])
def test_odd_names_are_only_names(settings: Settings, name: str, for_writing: bool):
    assert (
        resolve(settings.layout, f"scratch:deep/{name}", for_writing) == settings.project / "root/deep" / name
    )


@pytest.mark.parametrize(
    "path",
    [
        "scratch:../x",
        "scratch:a/../../x",
        "scratch:a/./b",
        "scratch:/etc/passwd",
        "scratch:a//b",
        "scratch:",
        "scratch:a/",
        "scratch:a\x00b",
        "nowhere:a",
        "relative/path",
        "",
        "http://host/a",
        "/etc/passwd",
        "/etc/../etc/passwd",
        "scratch:" + "x" * 256,
        "scratch:.tmp/other.1/out/x",
    ],
)
def test_what_leads_out_or_is_no_path_is_refused(settings: Settings, path: str):
    with pytest.raises(BadInput):
        resolve(settings.layout, path, for_writing=False)
    with pytest.raises(BadInput):
        resolve(settings.layout, path, for_writing=True)


def test_absolute_paths_are_for_reading_below_inputs_only(settings: Settings):
    file = str(settings.project / "videos/clip.mp4")

    assert resolve(settings.layout, file, for_writing=False) == Path(file)
    with pytest.raises(BadInput, match="for reading only"):
        resolve(settings.layout, file, for_writing=True)
    with pytest.raises(BadInput, match="add its folder to `inputs`"):
        resolve(settings.layout, str(settings.project / "videos-of-others/clip.mp4"), for_writing=False)
    with pytest.raises(BadInput):
        resolve(settings.layout, str(settings.project / "videos/../root/x"), for_writing=False)


def test_a_link_that_leads_out_is_refused(settings: Settings):
    (settings.project / "root/out").symlink_to("/etc")
    (settings.project / "videos/out.mp4").symlink_to("/etc/hostname")
    (settings.project / "root/dangling").symlink_to("/nowhere/at/all")

    for path in ("scratch:out/passwd", str(settings.project / "videos/out.mp4"), "scratch:dangling"):
        with pytest.raises(BadInput, match="leads out"):
            resolve(settings.layout, path, for_writing=False)


def test_a_link_that_stays_inside_is_read_through_and_never_written_through(settings: Settings):
    (settings.project / "root/real").mkdir()
    (settings.project / "root/link").symlink_to("real")

    assert resolve(settings.layout, "scratch:link/x", for_writing=False) == settings.project / "root/link/x"
    with pytest.raises(BadInput, match="symbolic link"):
        resolve(settings.layout, "scratch:link/x", for_writing=True)


def test_a_root_that_is_itself_a_link_is_the_operators_choice(settings: Settings, tmp_path: Path):
    (tmp_path / "alias").symlink_to(tmp_path / "root")
    through = msgspec.structs.replace(settings, roots={"scratch": Root(path=tmp_path / "alias")})

    assert resolve(through.layout, "scratch:x", for_writing=True) == tmp_path / "alias/x"


def test_split_names_the_root():
    assert split("scratch:a/b:c") == ("scratch", "a/b:c")
    assert split("/a/b") == ("", "/a/b")
