"""The fork server: `python -m workers --fork-server LINE`, a copy of the node or started by it
(`conductor.node`).

It imports what a worker and its child need, and copies itself for each worker. Nothing here may start a
thread, open a connection or touch a device: a copy would have half of it.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TypeVar

import msgspec

import conductor.adapters.redis as redis_adapters
from conductor.adapters.host.shown_words import become, show_as
from conductor.adapters.redis.step_text import source
from conductor.dispatch.catalogue import load_catalogue
from conductor.node.fork_server import MOST_BYTES, ROOM, CopyEnded, Forked, Order, Prepared
from workers.system.process_tree import die_with_parent

Options = TypeVar("Options")

#: All that a worker imports until it takes its first job, and its child until it runs one.
PREPARED = (
    "workers.parent.loop",
    "workers.isolation.child_main",
    "redis.connection",
    "rq.serializers",
    "conductor.base.logs.logs",
    "conductor.core.admission.successors",
    "conductor.base.gc_pause",
    "workers.task_api.toolkit",
)
#: Atomic steps that every worker takes.
STEPS = ("turn", "renew")
#: What is shown before its words, and before those of its copies.
PROGRAM = (sys.executable, "-P", "-m", "workers")
#: Signals of which Python has a handler from the start, or that this server handles.
HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(line_fd: int, read: Callable[[Sequence[str]], Options]) -> Options | None:
    """Returns in each copy, which is now the worker that it was ordered to be, what `read` made of its words;
    and once in the server: None, when its node has closed the line and the last copy is gone.
    """
    node = os.getppid()
    # One that has gone already has closed its end of the line.
    die_with_parent(signal.SIGTERM)
    show_as([*PROGRAM, "--fork-server", str(line_fd)])
    with socket.socket(fileno=line_fd) as line:
        os.set_inheritable(line_fd, False)
        wake_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_fd)
        signal.signal(signal.SIGCHLD, _noted)
        # A Ctrl-C at the terminal is for the node.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare()
        # Pages that nothing writes to are shared by all copies; what few cycles imports leave, they keep.
        gc.freeze()
        # A node that went meanwhile has closed its end: the loop below sees it.
        with suppress(OSError):
            line.send(msgspec.json.encode(Prepared()))
        is_open, copies = True, 0
        while is_open or copies:
            ready = select.select([line, wake_fd] if is_open else [wake_fd], [], [])[0]
            if wake_fd in ready:
                os.read(wake_fd, 1 << 10)
                copies -= _tell_ends(line, node)
            if line not in ready:
                continue
            data = _asked(line)
            if not data:
                is_open = False
                continue
            order, server = msgspec.json.decode(data, type=Order), os.getpid()
            options = None
            # Here: what a copy runs it touches, and holds for itself from then on. Wrong words end the copy,
            # which reads them again.
            with suppress(SystemExit):
                options = read(order.argv)
            pid = os.fork()
            if pid == 0:
                os.close(wake_fd)
                os.close(write_fd)
                break
            copies += 1
            with suppress(OSError):
                line.send(msgspec.json.encode(Forked(pid=pid)))
        else:
            return None
    _settle(order, server)
    return read(order.argv) if options is None else options


def prepare() -> None:
    for module in PREPARED:
        importlib.import_module(module)
    for module in pkgutil.iter_modules(redis_adapters.__path__, f"{redis_adapters.__name__}."):
        importlib.import_module(module.name)
    for step in STEPS:
        source(step)
    # The built-in tasks; those of a project are its own code, and loaded by its workers.
    load_catalogue()


def _asked(line: socket.socket) -> bytes:
    """Nothing: the node has closed its end, perhaps without having heard what was said to it."""
    try:
        return line.recv(MOST_BYTES)
    except ConnectionResetError:
        return b""


def _tell_ends(line: socket.socket, node: int) -> int:
    """How many copies have ended."""
    ended = 0
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            ended += 1
            with suppress(OSError):
                line.send(
                    msgspec.json.encode(CopyEnded(pid=pid, exit_code=os.waitstatus_to_exitcode(status)))
                )
    if ended and os.getppid() == node:
        with suppress(OSError):
            os.kill(node, signal.SIGCHLD)
    return ended


def _settle(order: Order, server: int) -> None:
    """A copy becomes a process as `conductor.adapters.host.processes.spawn` starts one."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    os.setsid()
    die_with_parent(signal.SIGTERM, server)
    variables = {name: value for name, value in os.environ.items() if name not in (ROOM, "PYTHONUNBUFFERED")}
    become({**variables, **order.env})
    show_as([*PROGRAM, *order.argv])
    sys.argv[1:] = order.argv


def _noted(number: int, frame: FrameType | None) -> None:
    """Its number is in the pipe by now."""


#: Epoch seconds: sources that changed since were loaded as they were before.
LOADED_AT = time.time()
