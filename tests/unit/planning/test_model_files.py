"""Models by name: what lies there has to be what conductor.toml says, and jobs are told of it by content."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import resolve
from conductor.base.settings.settings import load
from conductor.planning import named_model

BYTES = b"weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project, and a model beside it, where no job may read by itself."""
    (tmp_path / "project").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "ball.onnx").write_bytes(BYTES)
    return tmp_path


def settings_of(place: Path, text: str) -> CodeSettings:
    (place / "project" / "conductor.toml").write_text(text)
    return load(place / "project").for_code


def test_a_model_is_found_by_its_name_and_told_by_its_content(place: Path):
    settings = settings_of(place, f'[models.ball]\npath = "../weights/ball.onnx"\nsha256 = "{SHA256}"\n')

    found = named_model("ball", settings)

    file = place / "weights" / "ball.onnx"
    assert (found.path, found.sha256) == (file, SHA256)
    assert found.inputs == {str(file): f"sha256-{SHA256}"}
    assert resolve(settings, str(file), for_writing=False) == file


def test_another_model_at_its_place_is_refused_with_both_hashes(place: Path):
    settings = settings_of(place, f'[models.ball]\npath = "../weights/ball.onnx"\nsha256 = "{"0" * 64}"\n')

    with pytest.raises(ConfigError, match=f"its sha256 is {SHA256}, and conductor.toml says 0000"):
        named_model("ball", settings)


def test_a_folder_is_what_sha256sum_says_of_its_files(place: Path):
    folder = place / "weights"
    (folder / "deep").mkdir()
    (folder / "deep" / "words.txt").write_text("one")
    settings = settings_of(place, '[models.speech]\npath = "../weights"\nkind = "whisper"\n')

    found = named_model("speech", settings)

    told = subprocess.check_output(["sha256sum", "ball.onnx", "deep/words.txt"], cwd=folder)
    assert (found.kind, found.sha256) == ("whisper", hashlib.sha256(told).hexdigest())
    assert list(found.inputs) == [str(folder / "ball.onnx"), str(folder / "deep" / "words.txt")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"no model is named 'ball' \(there are: none\): add \[models.ball\]"),
        (
            '[models.ball]\npath = "nowhere.onnx"\n',
            "models.ball: cannot look at .*nowhere.onnx: No such file",
        ),
        ('[models.ball]\npath = "empty"\n', "models.ball: .*empty is an empty folder"),
    ],
)
def test_a_model_that_is_not_there_is_said_in_one_sentence(place: Path, text: str, words: str):
    (place / "project" / "empty").mkdir()

    with pytest.raises(ConfigError, match=words):
        named_model("ball", settings_of(place, text))


def test_the_list_of_models_gives_the_line_to_paste_and_names_what_is_wrong(place: Path):
    from conductor.views.model_list import lines, model_list

    text = '[models.ball]\npath = "../weights/ball.onnx"\n[models.gone]\npath = "gone.onnx"\n'
    found = model_list(settings_of(place, text))

    assert [row.sha256 for row in found] == [SHA256, None]
    assert f'  sha256 = "{SHA256}"' in lines(found)
    assert lines(found)[-1].endswith("gone.onnx: No such file or directory")
