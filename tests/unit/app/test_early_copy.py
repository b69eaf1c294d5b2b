"""Commands that begin as copies: what they show, where they run, how they end, and who ends them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")

#: A program of the test's own in the place of ours: it says what it is.
HEAD = """
import os, runpy, sys, time
from pathlib import Path
from conductor.app import early_copy
from conductor.app.early_copy import closing_copies, keep_copy, prepare_copy, taken
folder = Path(sys.argv[1])
def shown(name, **more):
    words = Path("/proc/self/cmdline").read_text().split(chr(0))[:-1]
    is_there = os.getcwd() == str(folder), os.getsid(0) == os.getpid()
    print(words[1:], sys.argv, os.environ.get("MARK"), *is_there, "json.tool" in sys.modules, flush=True)
    sys.exit(7)
"""
TOLD = """
runpy.run_module = shown
early_copy.IMPORTS = {"node": ("json.tool",)}
keep_copy("web")
keep_copy("node")
prepare_copy("node")
process = taken("node").become(["node", "--lane", "cpu"], {"MARK": "yes"}, folder)
print(process.wait(20), process.poll())
os.environ["MARK"] = "no"
print(taken("web").become(["web"], {}, folder).wait(20), taken("web"))
"""


def run(script: str, folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HEAD + script, str(folder)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_a_copy_becomes_the_command_that_it_is_told_with_its_words_variables_folder_and_session(
    tmp_path: Path,
):
    said = run(TOLD, tmp_path).communicate(timeout=60)[0].splitlines()
    node = "['-P', '-m', 'conductor', 'node', '--lane', 'cpu'] ['conductor', 'node', '--lane', 'cpu']"
    assert said == [
        f"{node} yes True True True",
        "7 7",
        "['-P', '-m', 'conductor', 'web'] ['conductor', 'web'] no True True False",
        "7 None",
    ]


def test_who_is_not_needed_is_gone_at_once(tmp_path: Path):
    children = "Path(f'/proc/self/task/{os.getpid()}/children').read_text()"
    script = f"with closing_copies(): keep_copy('node')\nprint({children})"
    assert run(script, tmp_path).communicate(timeout=60)[0] == "\n"


def test_a_process_with_threads_is_not_copied(tmp_path: Path):
    thread = "import threading; threading.Thread(target=time.sleep, args=(0.2,)).start()"
    script = f"{thread}; keep_copy('node'); print(taken('node'))"
    assert run(script, tmp_path).communicate(timeout=60)[0] == "None\n"


def test_copies_end_with_the_process_they_are_of(tmp_path: Path):
    process = run("keep_copy('node'); keep_copy('web'); print('there', flush=True); time.sleep(60)", tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    copies = psutil.Process(process.pid).children()
    assert len(copies) == 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(copies, timeout=20)
    assert not alive
    process.stdout.close()
