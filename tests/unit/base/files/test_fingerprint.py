"""Fingerprints: a changed file is another input, an unchanged one is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor.base.errors import UsageError
from conductor.base.files.fingerprint import fingerprint


def test_an_untouched_file_keeps_its_fingerprint_and_a_touched_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"12345")
    os.utime(file, ns=(0, 1_700_000_000_000_000_001))

    assert fingerprint(file) == "5-1700000000000000001" == fingerprint(file)
    os.utime(file, ns=(0, 1_700_000_000_000_000_002))
    assert fingerprint(file) == "5-1700000000000000002"


def test_what_is_no_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot look at .*none\.mp4: No such file or directory"):
        fingerprint(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="is not a regular file"):
        fingerprint(tmp_path)
