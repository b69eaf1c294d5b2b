"""Rotation by processes that are killed at any moment, while others append: nothing is lost, and nothing is
there twice."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rotation_child
from rotation_child import LOG

from conductor.adapters.files.archives import FOLDER
from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.settings import load
from conductor.recovery.rotate import rotate

WRITERS, LINES = ("w0", "w1"), 100


@contextmanager
def a_child(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Ready to begin; ended with the block."""
    argv = [sys.executable, rotation_child.__file__, *map(str, words)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})  # fmt: skip
    assert child.stdin and child.stdout
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def begin(child: subprocess.Popen[str]) -> None:
    assert child.stdin
    child.stdin.write("\n")
    child.stdin.flush()


def log_lines(logs_dir: Path) -> Counter[str]:
    files = [file.read_text() for file in logs_dir.glob("*.jsonl")]
    packed = [gzip.decompress(file.read_bytes()).decode() for file in (logs_dir / FOLDER).glob("*.gz")]
    return Counter(line for text in (*files, *packed) for line in text.splitlines())


@pytest.mark.parametrize("seed", range(int(os.environ.get("PROPERTY_EXAMPLES", "40")) // 40))
def test_what_workers_append_while_rotations_are_killed_stands_there_once(seed: int, tmp_path: Path) -> None:
    layout = load(tmp_path).layout
    layout.receipts_dir.mkdir(parents=True, exist_ok=True)
    layout.logs_dir.mkdir(parents=True, exist_ok=True)
    with a_child("rotate", tmp_path, seed) as rotator, a_child("write", tmp_path, "w0", LINES) as a, \
            a_child("write", tmp_path, "w1", LINES) as b:  # fmt: skip
        for child in (rotator, a, b):
            begin(child)
        assert [a.wait(60), b.wait(60), rotator.poll()] == [0, 0, None]
        assert rotator.stdin
        rotator.stdin.close()
        assert rotator.wait(60) == 0
    last = rotate(layout, 1e12, "z")

    assert not last.busy and len(list((layout.receipts_dir / FOLDER).glob("*.gz"))) > 0
    expected = Counter(f"{name}-{n:06}" for name in WRITERS for n in range(LINES))
    assert Counter(receipt.job_id for receipt in read_receipts(layout.receipts_dir)) == expected
    told = Counter(f'{{"writer":"{name}","n":{n}}}' for name in WRITERS for n in range(LINES))
    assert log_lines(layout.logs_dir) == told
    assert [file.name for file in layout.logs_dir.glob("*.jsonl")] in ([], [LOG])
