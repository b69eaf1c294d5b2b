"""`python -m conductor …` without the half second of imports: forked from a process that has them already.

A test asks for hundreds of commands, each of which imports the same seven hundred modules. The process that
forks holds no project, no Redis and no thread; what it forks begins as a new interpreter does, with the
caller's folder, environment and standard streams, and ends by itself.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What nearly every command imports sooner or later. None of it looks at the folder or the environment.
IMPORTS = (
    "conductor.app.cli.app",
    "conductor.app.conduct",
    "conductor.app.workflow_lookup",
    "conductor.dispatch.dispatch",
    "conductor.planning.command",
    "conductor.verify.verify",
    "conductor.views.run_summary",
)
#: The interpreter reads these when it starts, and never again.
AT_START = ("PYTHON", "LANG", "LC_")
LINE = 1 << 20


class ForkedCli:
    """Commands of one caller, one after the other."""

    def __init__(self) -> None:
        self._environment = of_start(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, __file__, str(theirs.fileno())]
        # Begun in the middle of a test it is nobody's: `down` ends whatever carries the project's name.
        own = {name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_")}
        self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=own)
        theirs.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Not where the interpreter itself would begin otherwise."""
        return of_start(environment) == self._environment

    def run(
        self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> tuple[int, bytes, bytes]:
        """→ exit code, stdout, stderr. Raises `subprocess.TimeoutExpired`, after it has killed it."""
        pipes = [os.pipe(), os.pipe()]
        wish = json.dumps({"argv": [*argv], "cwd": os.fspath(cwd), "environment": dict(environment)})
        socket.send_fds(self._socket, [wish.encode()], [write for _, write in pipes])
        said: list[bytes] = [b"", b""]

        def read(number: int) -> None:
            with os.fdopen(pipes[number][0], "rb") as pipe:
                said[number] = pipe.read()

        readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in (0, 1)]
        for (_, write), reader in zip(pipes, readers, strict=True):
            os.close(write)
            reader.start()
        pid = int(self._socket.recv(LINE))
        self._socket.settimeout(timeout_s)
        try:
            code = int(self._socket.recv(LINE))
        except TimeoutError:
            os.kill(pid, 9)
            self._socket.settimeout(None)
            self._socket.recv(LINE)
            raise subprocess.TimeoutExpired([*argv], timeout_s) from None
        deadline = time.monotonic() + timeout_s
        for reader in readers:
            # A process that it left behind may hold them.
            reader.join(max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired([*argv], timeout_s)
        return code, said[0], said[1]

    def close(self) -> None:
        self._socket.close()
        self._process.wait(10)


def of_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def serve(asked: socket.socket) -> None:
    """Until the caller is gone. In a forked process it ends as the command ends, by the interpreter's own
    way out."""
    for name in IMPORTS:
        __import__(name)
    gc.freeze()
    while True:
        wish, fds, _, _ = socket.recv_fds(asked, LINE, 2)
        if not wish:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            become(json.loads(wish), fds)
            return
        for fd in fds:
            os.close(fd)
        asked.send(b"%d" % pid)
        _, status = os.waitpid(pid, 0)
        asked.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(wish: dict[str, Any], fds: Sequence[int]) -> None:
    """As `python -m conductor` does from its first line on."""
    for fd, place in zip(fds, (1, 2), strict=True):
        os.dup2(fd, place)
        os.close(fd)
    os.environ.clear()
    os.environ.update(wish["environment"])
    os.chdir(wish["cwd"])
    sys.path[0] = str(Path.cwd())
    sys.argv = ["conductor", *wish["argv"]]
    runpy.run_module("conductor", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
