"""A worker in reserve: everything is imported and the child is up before it is known whom it is to
replace.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from conductor.base.gc_pause import uncollected
from conductor.node.spare_worker import Order
from workers.isolation.child_process import ChildBroken, ChildProcess
from workers.isolation.stop_signals import Stopping

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings


def prepare(settings: Settings) -> ChildProcess:
    """Whatever a worker's start has to pay for, paid now."""
    from conductor.dispatch.catalogue import catalogue_of

    with uncollected():
        for module in (
            "workers.parent.loop",
            "redis.connection",
            "rq.serializers",
            "conductor.base.logs.logs",
        ):
            importlib.import_module(module)
    catalogue_of(settings.for_code)
    host = ChildProcess(settings, f"spare-{os.getpid()}")
    try:
        host.ensure(())
    except ChildBroken as e:
        logger.warning("{}", e)
    return host


def show_as(words: Sequence[str]) -> None:
    """`ps` shows the worker that it became: Linux keeps the words in the process's own memory; elsewhere
    they stay.
    """
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return
    room = end - start
    text = b"\0".join(
        os.fsencode(word) for word in (*sys.orig_argv[: sys.orig_argv.index("--spare")], *words)
    )
    if 0 < len(text) < room:
        ctypes.memmove(start, text.ljust(room, b"\0"), room)


def await_order(stopping: Stopping) -> Order | None:
    """The line on stdin; None when this spare is told to leave, or its node is gone."""
    import msgspec

    line = b""
    while not stopping.is_asked:
        ready = select.select([sys.stdin, stopping.wake_fd], [], [])[0]
        if stopping.wake_fd in ready:
            stopping.drain()
        if sys.stdin not in ready:
            continue
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        line += chunk
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=Order)
        if not chunk:
            return None
    return None
