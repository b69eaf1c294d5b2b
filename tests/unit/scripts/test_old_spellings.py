"""The spellings of the old system lead to the new commands, with the same words behind them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LANES = ("GPU", "CPU", "IO", "CLOUD")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout whose Python says what it was called with."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", symlinks=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$CONDUCTOR_LANES__GPU__WORKERS|$CONDUCTOR_LANES__IO__WORKERS|$*"\n')
    python.chmod(0o755)
    return tmp_path


def said(*argv: str | Path) -> list[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_LANES")
    }
    done = subprocess.run([str(word) for word in argv], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["||-m conductor node --detach"]),
        (["--gpu-only"], ["||-m conductor node --detach --gpu-only"]),
        (["--ml-only"], ["||-m conductor node --detach --lane gpu --lane cloud"]),
        (
            ["--video-only", "--concurrency", "3", "--with-dashboard"],
            ["3|3|-m conductor node --detach --lane cpu --lane io", "3|3|-m conductor dashboard --detach"],
        ),
        (["--concurrency=2"], ["2|2|-m conductor node --detach"]),
    ],
)
def test_start_workers_takes_the_old_options(house: Path, words: list[str], lines: list[str]):
    assert said(house / "scripts" / "start-workers", *words) == lines


@pytest.mark.parametrize("words", [["--concurrency"], ["--concurrency", "none"], ["--concurrency=0"]])
def test_a_concurrency_that_is_none_is_refused(house: Path, words: list[str]):
    done = subprocess.run([house / "scripts" / "start-workers", *words], capture_output=True, text=True)

    assert done.returncode == 2
    assert "--concurrency takes a number of processes" in done.stderr


@pytest.mark.parametrize("name", ["plan", "dispatch", "conduct", "verify"])
def test_the_old_scripts_are_the_new_commands(house: Path, name: str):
    script = house / "scripts" / "jobs" / "core" / f"{name}.py"

    assert said(sys.executable, script, "M.jsonl", "--target", "backlog:x") == [
        f"||-m conductor {name} M.jsonl --target backlog:x"
    ]


@pytest.mark.parametrize(
    ("room", "name"), [("dispatch", "dispatch"), ("verify", "verify"), ("node", "node"), ("planning", "plan")]
)
def test_a_room_that_is_run_is_its_command(room: str, name: str):
    shown = said(sys.executable, "-m", f"conductor.{room}", "--help")

    assert shown[0].startswith(f"Usage: python -m conductor {name} ")
