"""A program ends with the process that started it, by whichever way it was tied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from conductor.adapters.host import tied_program
from conductor.adapters.host.tied_program import tied
from tests.worker_scene import is_alive, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a program to its parent")

#: Starts a program that sleeps, says its pid, and waits to be killed.
PARENT = """
import subprocess, sys
from conductor.adapters.host.tied_program import tied
print(subprocess.Popen(tied([sys.argv[1], "60"], sys.argv[2:])).pid, flush=True)
sys.stdin.read()
"""
#: The second is of a name that a shell may throw away: that program is tied by a Python.
WAYS = ["PLAIN", "odd.name"]


def path_of(program: str) -> str:
    found = shutil.which(program)
    assert found is not None
    return str(Path(found).absolute())


@pytest.mark.parametrize("variable", WAYS)
def test_a_program_is_killed_with_the_process_that_started_it(variable: str):
    argv = [sys.executable, "-c", PARENT, path_of("sleep"), variable]
    parent = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: "sleep" in Path(f"/proc/{pid}/comm").read_text(), "it has begun")
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(pid), "it ends")
    parent.stdin.close()
    parent.stdout.close()


@pytest.mark.parametrize("variable", WAYS)
def test_a_program_whose_parent_is_gone_already_does_not_begin(variable: str, tmp_path: Path):
    begun = tmp_path / "begun"
    words = tied([path_of("touch"), str(begun)], [variable])
    orphan = [word.replace(str(os.getpid()), "1") for word in words]
    assert words != orphan
    assert subprocess.run(orphan, check=False).returncode == 128 + signal.SIGTERM
    assert not begun.exists()


@pytest.mark.parametrize("names", [("A", "_b2"), ("A", "odd.name"), ("A", "BASH_FUNC_x%%")])
def test_each_variable_reaches_the_program(names: Iterable[str]):
    given = dict.fromkeys(names, "'a b'\n$c")
    told = subprocess.run(tied([path_of("env"), "-0"], given), env=given, capture_output=True, check=True)
    found = dict(entry.split("=", 1) for entry in told.stdout.decode().split("\0") if entry)
    assert {name: found.get(name) for name in names} == given


def test_without_setpriv_a_python_ties_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tied_program, "_setpriv", lambda: None)
    assert tied(["/bin/true"], ["A"])[0] == sys.executable
    assert subprocess.run(tied(["/bin/true"], ["A"]), check=False).returncode == 0
