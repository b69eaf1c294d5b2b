"""The command line in a shell that is not as it should be: closed streams, a reader who left, another
encoding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import conductor

CONDUCTOR = f"'{sys.executable}' -m conductor"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conductor.toml").write_text('node = "studio"\n')
    return tmp_path


def shell(line: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """A line of bash; the pipe's status is that of the command itself."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_nothing_but_what_was_said(folder: Path, closed: str) -> None:
    done = shell(f"{CONDUCTOR} audit {closed}", folder)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["status", "status --json", "config show", "--help"])
def test_a_reader_who_left_is_no_fault(folder: Path, command: str) -> None:
    done = shell(f"{CONDUCTOR} {command} 2>err | true", folder)
    assert (done.returncode, (folder / "err").read_text()) == (0, "")


def test_a_fault_is_still_one_when_nobody_reads_of_it(folder: Path) -> None:
    assert shell(f"{CONDUCTOR} explain k3v7 2>&1 | true", folder).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's device that is always full")
def test_data_that_did_not_fit_are_a_sentence(folder: Path) -> None:
    done = shell(f"{CONDUCTOR} status > /dev/full", folder)
    assert done.returncode == 1
    assert (
        done.stderr == b"conductor: what was to go to stdout could not be written: No space left on device\n"
    )


def test_an_encoding_that_lacks_letters_has_them_written_out(tmp_path: Path) -> None:
    folder = tmp_path / "日本 é"
    folder.mkdir()
    (folder / "conductor.toml").write_text("")
    env = {"PYTHONIOENCODING": "latin-1"}
    assert rb"\u65e5\u672c" in shell(f"{CONDUCTOR} config show", folder, env).stdout
    found = shell(f"{CONDUCTOR} config show --json", folder, env)
    assert json.loads(found.stdout)["project"] == str(folder), "JSON is JSON in every encoding"


def test_names_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    folder = tmp_path / "日本 é"
    folder.mkdir()
    (folder / "conductor.toml").write_text("")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = conductor("config", "show", "--json", cwd=folder, env=env)
    assert found.json["project"] == str(folder)
    assert conductor("status", cwd=folder, env=env).code == 0


def test_a_home_that_is_not_known_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text('inputs = ["~nobody-of-that-name/videos"]\n')
    found = conductor("status", cwd=tmp_path)
    assert found.code == 3
    assert "~nobody-of-that-name/videos: whose home that is cannot be found" in found.err


def test_a_current_folder_that_was_removed_is_a_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(f"rmdir '{gone}'; {CONDUCTOR} status", gone)
    assert done.returncode == 3
    assert done.stderr == b"conductor: the current folder is no longer there: go to another one (cd)\n"
