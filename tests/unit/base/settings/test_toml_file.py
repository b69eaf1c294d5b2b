"""conductor.toml as people's editors save it: read, or refused with a sentence that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor.analysis.simulation import cluster
from conductor.base.errors import ConfigError, ManifestError
from conductor.base.settings import settings
from conductor.model.spec import to_line
from conductor.record.manifest import read
from tests.builders import a_spec

TEXT = '# Prüfung\nnode = "größe"\n[lanes.cpu]\nworkers = 2\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_settings_are_read_however_an_editor_saved_them(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "conductor.toml").write_bytes(TEXT.replace("\n", end).encode(encoding))

    found = settings.load(tmp_path)

    assert (found.node, found.lanes.cpu.workers) == ("größe", 2)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("utf-16-le", "zero bytes.*save it as UTF-8"), ("cp1252", r"not UTF-8 \(line 1\): save it as UTF-8")],
)
def test_what_does_not_say_its_encoding_is_refused_with_the_remedy(
    tmp_path: Path, encoding: str, words: str
) -> None:
    (tmp_path / "conductor.toml").write_bytes(TEXT.encode(encoding))

    with pytest.raises(ConfigError, match=words):
        settings.load(tmp_path)


def test_a_cluster_is_read_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_bytes('[[node]]\r\nname = "n"\r\n'.encode("utf-8-sig"))

    assert [node.node for node in cluster.read(file)] == ["n"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_manifest_in_another_encoding_is_refused_in_one_sentence(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes((to_line(a_spec()).decode() + "\n").encode(encoding))

    with pytest.raises(ManifestError, match=r"UTF-16 or UTF-32.*save it as UTF-8, or plan it again"):
        list(read(file))


def test_a_binary_file_is_called_one(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"\0\0\0 ftypisom")

    with pytest.raises(ManifestError, match=r"clip.mp4 is a binary file, and no manifest"):
        list(read(file))


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.jsonl")

    with pytest.raises(ManifestError, match="is not a regular file"):
        list(read(tmp_path / "m.jsonl"))


def test_a_manifest_with_a_byte_order_mark_and_crlf_is_the_same_manifest(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + to_line(a_spec()) + b"\r\n")

    assert list(read(file)) == [a_spec()]
