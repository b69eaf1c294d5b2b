"""A process that ends at once ends as any other: exit code, streams, and what was registered for the end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def ended(work: str) -> tuple[int, str, str]:
    code = f"import sys\nfrom conductor.base.last_act import last_act\n{work}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("last_act(lambda: print('all', end=''))", (0, "all", "")),
        ("last_act(sys.exit)", (0, "", "")),
        ("last_act(lambda: sys.exit(130))", (130, "", "")),
        ("last_act(lambda: sys.exit('why'))", (1, "", "why\n")),
    ],
)
def test_it_ends_with_what_the_work_came_to_and_all_that_was_said(work: str, said: tuple[int, str, str]):
    assert ended(work) == said


def test_what_nobody_caught_is_told_and_nothing_of_the_rest_is_left_out():
    work = """
import atexit, threading, time
atexit.register(print, "registered")
class Kept:
    def __del__(self): print("taken apart")
kept = Kept()
def late(): time.sleep(0.05); print("a thread")
def work():
    threading.Thread(target=late).start()
    raise ValueError("nobody caught it")
last_act(work)
"""
    code, out, err = ended(work)
    assert (code, out.splitlines()) == (1, ["a thread", "registered"])
    assert err.rstrip().endswith("ValueError: nobody caught it")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is always full")  # noqa: PTH110
def test_what_could_not_be_written_at_the_end_is_no_success():
    work = "sys.stdout = open('/dev/full', 'w')\nlast_act(lambda: print('lost'))"
    code, _, err = ended(work)
    assert code == 120 and "No space left on device" in err
