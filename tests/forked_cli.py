"""`python -m conductor …` without the half second of imports: forked from a process that has them already.

A test asks for hundreds of commands, each of which imports the same seven hundred modules; a worker
costs as much. The process that forks holds no project, no Redis and no thread; what it forks begins as a new
interpreter does, with the caller's folder, environment and standard streams, shows these to who looks into
`/proc`, and ends by itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORKERS = (
    "conductor.base.logs.logs",
    "conductor.core.admission.successors",
    "redis.connection",
    "rq.serializers",
    "workers.isolation.child_main",
    "workers.parent.loop",
    "workers.task_api.toolkit",
    "workers.tasks.declared",
)
#: What nearly every one of them imports sooner or later. None of it looks at the folder or the environment.
IMPORTS = {
    "conductor": (
        "conductor.app.cli.app",
        "conductor.app.conduct",
        "conductor.app.up",
        "conductor.app.workflow_lookup",
        "conductor.dispatch.dispatch",
        "conductor.node.run",
        "conductor.planning.command",
        "conductor.verify.verify",
        "conductor.views.run_summary",
        # Of a node's fork server, which is a copy of it.
        *WORKERS,
    ),
    "workers": WORKERS,
}
#: The interpreter and the loader read these when they start, and never again.
AT_START = ("PYTHON", "LANG", "LC_", "LD_")
#: Room among its words and variables for those of what it forks (`conductor.adapters.host.shown_words`).
ROOM, WORDS_ROOM, VARIABLES_ROOM = "_TESTS_ROOM", 1000, 8000
LINE = 1 << 20


class ForkedProcess:
    """One of them, as `subprocess.Popen` has it."""

    def __init__(self, args: Sequence[str], pid: int, line: socket.socket) -> None:
        self.args, self.pid, self._line = args, pid, line
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                self.returncode = int(self._line.recv(LINE))
            except TimeoutError:
                raise subprocess.TimeoutExpired([*self.args], timeout or 0.0) from None
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedCli:
    """Forks `python -m MODULE …` from an interpreter that began with these variables of `of_start`."""

    def __init__(self, module: str, start: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, __file__, module, str(theirs.fileno()), " " * WORDS_ROOM]
        # Begun in the middle of a test it is nobody's: `down` ends whatever carries the project's name.
        others = {name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_")}
        own = {**others, **start, ROOM: "." * VARIABLES_ROOM}
        self._process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=own)
        theirs.close()

    def start(
        self,
        argv: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        out: int,
        err: int,
        *,
        is_safe: bool = False,
    ) -> ForkedProcess:
        """In a session of its own. `out`, `err`: descriptors; `is_safe`: as with `-P`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wish = {
            "argv": [*argv],
            "cwd": os.fspath(cwd),
            "environment": dict(environment),
            "is_safe": is_safe,
        }
        with theirs:
            socket.send_fds(self._socket, [json.dumps(wish).encode()], [out, err, theirs.fileno()])
        return ForkedProcess(argv, int(self._socket.recv(LINE)), ours)

    def run(
        self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> tuple[int, bytes, bytes]:
        """→ exit code, stdout, stderr. Raises `subprocess.TimeoutExpired`, after it has killed it."""
        deadline = time.monotonic() + timeout_s
        pipes = [os.pipe(), os.pipe()]
        process = self.start(argv, cwd, environment, pipes[0][1], pipes[1][1])
        said: list[bytes] = [b"", b""]

        def read(number: int) -> None:
            with os.fdopen(pipes[number][0], "rb") as pipe:
                said[number] = pipe.read()

        readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in (0, 1)]
        for (_, write), reader in zip(pipes, readers, strict=True):
            os.close(write)
            reader.start()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
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


def serve(module: str, asked: socket.socket) -> None:
    """Until the caller is gone. In a forked process it ends as the command ends, by the interpreter's own
    way out."""
    adapters = importlib.import_module("conductor.adapters.redis")
    within = (each.name for each in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."))
    for name in (*IMPORTS[module], *within):
        importlib.import_module(name)
    gc.freeze()
    #: pidfd → pid and the line of what was forked.
    forked: dict[int, tuple[int, socket.socket]] = {}
    ready = selectors.DefaultSelector()
    ready.register(asked, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is not asked:
                ready.unregister(key.fd)
                os.close(key.fd)
                tell_end(*forked.pop(key.fd))
                continue
            wish, fds, _, _ = socket.recv_fds(asked, LINE, 3)
            if not wish:
                return
            pid = os.fork()
            if pid == 0:
                ready.close()
                asked.close()
                for ended, (_, line) in forked.items():
                    os.close(ended)
                    line.close()
                become(module, json.loads(wish), fds)
                return
            ended = os.pidfd_open(pid)
            forked[ended] = pid, socket.socket(fileno=fds.pop())
            ready.register(ended, selectors.EVENT_READ)
            for fd in fds:
                os.close(fd)
            asked.send(b"%d" % pid)


def tell_end(pid: int, line: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with line:
        try:
            line.send(b"%d" % os.waitstatus_to_exitcode(status))
        except OSError:
            return  # nobody waits for it any more


def become(module: str, wish: dict[str, Any], fds: Sequence[int]) -> None:
    """As `python -m MODULE` does from its first line on."""
    from conductor.adapters.host import shown_words

    os.setsid()
    out, err, line = fds
    for fd, place in ((out, 1), (err, 2)):
        os.dup2(fd, place)
        os.close(fd)
    os.close(line)
    os.chdir(wish["cwd"])
    if wish["is_safe"]:
        del sys.path[0]
    else:
        sys.path[0] = str(Path.cwd())
    shown_words.become(wish["environment"])
    safe = ["-P"] if wish["is_safe"] else []
    shown_words.show_as([sys.executable, *safe, "-m", module, *wish["argv"]])
    sys.argv = [module, *wish["argv"]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
