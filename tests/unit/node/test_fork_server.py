"""The line between a node and its fork server: orders and ends, and a server that dies, is stopped or never
starts.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_scene import until

from conductor.adapters.host.processes import kill_tree
from conductor.node import fork_server
from conductor.node.fork_server import ForkedWorker, ForkServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")

#: The real one without its imports, whose copies sleep, or end with the exit code that they are ordered.
SERVER = """
import os, pathlib, signal, sys, time
from workers.parent import fork_server
fork_server.prepare = lambda: None
words = fork_server.serve(int(sys.argv[2]), tuple)
if words == ("sleep",):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(os.environ["there"]).touch()
    time.sleep(60)
sys.exit(int(os.environ["code"]) if words is not None else 0)
"""


class Line:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 100.0
        self.program = SERVER
        self.started: list[subprocess.Popen[bytes]] = []
        self.server = ForkServer(self._start, lambda: self.now)

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", self.program, "--fork-server", str(theirs.fileno())]
        self.started.append(subprocess.Popen(argv, pass_fds=[theirs.fileno()]))
        return self.started[-1]

    def asleep(self) -> ForkedWorker:
        """One that goes on whatever it is told."""
        there = self.folder / f"there-{time.monotonic_ns()}"
        copy = self.server.launch(["sleep"], {"there": str(there)})
        until(there.exists)
        assert copy is not None and copy.poll() is None
        return copy


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    it = Line(tmp_path)
    it.server.start()
    it.server.await_prepared()
    yield it
    for process in it.started:
        kill_tree(process.pid)
        process.wait()
    it.server.close()


def test_a_copy_is_there_at_once_and_how_it_ends_is_told(line: Line) -> None:
    ends = {code: line.server.launch([], {"code": str(code)}) for code in (0, 3)}
    killed = line.asleep()
    os.kill(killed.pid, signal.SIGKILL)

    for code, copy in ends.items():
        assert copy is not None
        until(lambda copy=copy: copy.poll() is not None)
        assert copy.exit_code == code
    until(lambda: killed.poll() is not None)
    assert killed.exit_code == -signal.SIGKILL
    assert line.server.next_look_s is None and len(line.started) == 1


def test_copies_of_a_server_that_was_killed_are_looked_at_until_they_are_gone(line: Line) -> None:
    copy = line.asleep()

    line.started[0].kill()
    line.started[0].wait()

    assert copy.poll() is None and line.server.next_look_s == fork_server.LOOK_EVERY_S
    os.kill(copy.pid, signal.SIGKILL)
    until(lambda: copy.poll() is not None)
    assert copy.exit_code == 0 and line.server.next_look_s is None
    # The next one is started at once; until it has imported everything there are none of it.
    assert line.server.launch(["sleep"], {}) is None
    line.server.await_prepared()
    line.asleep()
    assert len(line.started) == 2


def test_a_server_that_is_stopped_holds_nobody_up_for_long(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ORDER_LIMIT_S", 0.05)
    line.started[0].send_signal(signal.SIGSTOP)

    assert line.server.launch(["sleep"], {}) is None
    assert line.started[0].poll() == -signal.SIGKILL


def test_a_server_that_cannot_start_is_started_ever_later(line: Line) -> None:
    line.started[0].kill()
    line.program = "raise SystemExit(1)"
    starts: list[float] = []
    for _ in range(400):
        before = len(line.started)
        assert line.server.launch(["sleep"], {}) is None
        if len(line.started) > before:
            starts.append(line.now)
            line.server.await_prepared()
        line.now += 0.25
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts[1:])]
    assert 4 <= len(starts) < 12 and gaps == sorted(gaps) and gaps[-1] >= 8


def test_a_server_whose_node_went_while_it_imported_leaves_without_a_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        argv = [sys.executable, "-c", SERVER, "--fork-server", str(theirs.fileno())]
        done = subprocess.run(argv, pass_fds=[theirs.fileno()], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_server_that_its_node_did_not_hear_leaves_without_a_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        argv = [sys.executable, "-c", SERVER, "--fork-server", str(theirs.fileno())]
        server = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
    assert select.select([ours], [], [], 60)[0], "it is prepared"
    ours.close()
    assert (server.communicate(timeout=60)[1], server.returncode) == (b"", 0)


#: A node that has begun, with its server; with a thread of its own first where it is told so.
NODE = """
import json, pathlib, sys, threading
from conductor.node import early_fork
if len(sys.argv) > 1:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
begun = early_fork.copied(pathlib.Path.cwd())
if begun is None:
    sys.exit("a copy would have half of the thread")
from conductor.node.fork_server import ForkServer
server = ForkServer(lambda theirs: sys.exit("there was one"), first=begun)
server.start()
server.await_prepared()
shown = pathlib.Path(f"/proc/{begun[0].pid}/cmdline").read_bytes().decode().split("\\0")
copy = server.launch(["--queue"], {})
while copy.poll() is None:
    pass
server.close()
print(json.dumps([shown[1:5], copy.exit_code, begun[0].returncode]))
"""


def test_the_first_server_is_a_copy_of_the_node_and_shows_what_it_is(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", NODE]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    # Its words lack the queue's name: it is `python -m workers` that says so.
    assert json.loads(done.stdout) == [["-P", "-m", "workers", "--fork-server"], 2, 0], done.stderr
    assert "argument --queue: expected one argument" in done.stderr


def test_a_process_with_a_thread_is_not_copied(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", NODE, "thread"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (1, "a copy would have half of the thread\n")
