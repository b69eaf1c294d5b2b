"""What others see of a process that became another one, however few words it began with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

BECOMES = """
import json, os, pathlib, sys
from conductor.adapters.host.shown_words import become, show_as

def seen(name):
    return pathlib.Path("/proc/self", name).read_bytes().decode().rstrip("\\0").split("\\0")

shown = []
for words, variables in ((["other", "w" * 5000], {"A": "v" * 9000, "B": "2"}), (["short"], {"C": "3"})):
    show_as(words)
    become(variables)
    shown.append((seen("cmdline") == words, seen("environ") == [f"{n}={v}" for n, v in variables.items()]))
    below = os.popen("echo $A $B $C").read()
    shown.append(len(below))
print(json.dumps(shown))
"""


def test_more_words_than_it_began_with_are_shown_and_fewer_leave_nothing_of_them() -> None:
    argv = [sys.executable, "-c", BECOMES]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[True, True], 9003, [True, True], 2]
