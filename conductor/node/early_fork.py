"""The node's first fork server: a copy of the node, made while the node has one thread and holds nothing.

What both import is imported once. A node that has begun its work has threads, locks and a connection: from
then on a server is started as a program of its own.
"""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import runpy
import socket
import sys
from pathlib import Path
from typing import NoReturn

import conductor.adapters.redis as redis_adapters
from conductor.adapters.host.own_copy import OwnCopy, can_copy, settle_copy

#: The room of workers, which this one knows by name only.
WORKERS = "workers"


def copied(project: Path) -> tuple[OwnCopy, socket.socket] | None:
    """A fork server and the node's end of its line. None where a copy would not be a sound process, or could
    not show what it is: workers and their children are known by their words. In the copy it does not return:
    when its work is done, that process ends from here.
    """
    if not can_copy():
        return None
    # What the node needs in a moment anyway.
    for module in pkgutil.iter_modules(redis_adapters.__path__, f"{redis_adapters.__name__}."):
        importlib.import_module(module.name)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return OwnCopy(pid, WORKERS), ours
    ours.close()
    return _serve(project, theirs.detach())


def _serve(project: Path, line_fd: int) -> NoReturn:
    """As a program that `conductor.adapters.host.processes.spawn` has started."""
    settle_copy(project)
    os.environ["CONDUCTOR_PROJECT"] = str(project)
    # Unbuffered, as its copies' bodies are to write.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.FileIO(fd, "w", closefd=False), stream.encoding, stream.errors, write_through=True
        )
        for fd, stream in ((1, sys.stdout), (2, sys.stderr))
    )
    sys.argv[1:] = ["--fork-server", str(line_fd)]
    runpy.run_module(WORKERS, run_name="__main__", alter_sys=True)
    sys.exit()
