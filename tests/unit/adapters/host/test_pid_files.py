"""A pid file names one process: not another one with its pid, nor another one because the clock was set."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import psutil
import pytest

from conductor.adapters.host.known_process import KnownProcess, is_gone, of_process, told
from conductor.adapters.host.processes import live_pid, write_pid


def test_a_wall_clock_that_is_set_does_not_take_a_live_process_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_pid(file := tmp_path / "node.pid")
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600.0)

    assert live_pid(file) == os.getpid()


def test_another_process_that_was_given_the_pid_is_not_the_one(tmp_path: Path):
    own = of_process(os.getpid())
    assert own is not None
    file = tmp_path / "node.pid"
    for other in ({"started": own.started + 1}, {"boot": "the one before"}):
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(own, **other)))
        assert live_pid(file) is None


def test_neither_is_one_that_has_ended_and_is_not_buried_yet(tmp_path: Path):
    child = subprocess.Popen(["sleep", "1000"])
    known = of_process(child.pid)
    (file := tmp_path / "node.pid").write_bytes(msgspec.json.encode(known))
    assert isinstance(known, KnownProcess) and live_pid(file) == child.pid

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert live_pid(file) is None
    child.wait()


def test_who_is_gone_is_known_of_those_alone_whose_numbers_we_see():
    child = subprocess.Popen(["sleep", "1000"])
    known, told_of_it = of_process(child.pid), told(child.pid)
    assert known is not None and not is_gone(told_of_it)

    child.kill()
    child.wait()

    assert is_gone(told_of_it)
    for other in ({"boot": "another"}, {"namespace": known.namespace + 1}, {"namespace": 0}):
        assert not is_gone(msgspec.json.encode(msgspec.structs.replace(known, **other)).decode())
    assert not is_gone(""), "an older worker does not tell"


def test_what_an_earlier_form_of_the_file_says_is_no_process(tmp_path: Path):
    (file := tmp_path / "node.pid").write_text('{"pid": 1, "started_at": 1.0}')
    assert live_pid(file) is None
