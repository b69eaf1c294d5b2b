"""How much room each declared root has, asked through a child process: a dead NFS mount hangs in the kernel.

One child asks for all roots. When it does not answer in time it is left to its folder, which is a fault until
that child ends, and a new one asks for the others: there is never more than one hanging process per root.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from conductor.base.settings.sections import Root
from conductor.model.report import Volume

CHILD = Path(__file__).with_name("disk_child.py")
COMMAND = (sys.executable, "-I", "-S", str(CHILD))
LIMIT_S = 2.0


class DiskProbe:
    """Use from one thread. `close` ends the children it can end."""

    def __init__(
        self,
        roots: Mapping[str, Root],
        limit_s: float = LIMIT_S,
        command: tuple[str, ...] = COMMAND,
        *,
        is_node: bool = False,
    ) -> None:
        """`is_node`: a root that has no id yet is given one; else nothing is written by a look."""
        self._roots = dict(roots)
        self._limit_s = limit_s
        self._command = command
        self._is_node = is_node
        self._child: subprocess.Popen[bytes] | None = None
        #: Root → the child that hangs in it.
        self._stuck: dict[str, subprocess.Popen[bytes]] = {}

    def read(self, make: bool = False, suspects: Set[str] = frozenset()) -> tuple[Volume, ...]:
        """All roots, in their declared order. `make`: folders without a marker are made where they are
        missing. `suspects`: roots to which something is written on trial."""
        return tuple(
            volume(name, root, self._ask(name, root, make, name in suspects))
            for name, root in self._roots.items()
        )

    def close(self) -> None:
        for child in (self._child, *self._stuck.values()):
            if child is not None:
                _end(child)
        self._child, self._stuck = None, {}

    def _ask(self, name: str, root: Root, make: bool, is_suspect: bool) -> dict[str, Any]:
        if (stuck := self._stuck.get(name)) is not None:
            if stuck.poll() is None:
                return {"fault": f"{root.path} does not answer"}
            _end(self._stuck.pop(name))
        child = self._child = self._child or _start(self._command)
        question = {
            "path": str(root.path),
            "marker": root.marker,
            "make": make,
            "is_suspect": is_suspect,
            "is_node": self._is_node,
        }
        try:
            _send(child, json.dumps(question).encode() + b"\n")
            answer = _line(child, self._limit_s)
        except (OSError, EOFError):
            _end(child)
            self._child = None
            return {"fault": f"{root.path}: the probe ended without an answer"}
        if answer is None:
            # It dies as soon as the kernel lets it.
            child.kill()
            self._child, self._stuck[name] = None, child
            return {"fault": f"{root.path} did not answer for {self._limit_s:g} s"}
        return json.loads(answer)


def volume(name: str, root: Root, facts: Mapping[str, Any]) -> Volume:
    """The child's answer as the report has it. Pure."""
    path = str(root.path)
    if fault := facts.get("fault"):
        return Volume(root=name, path=path, fault=fault)
    fault = None
    if facts["is_read_only"]:
        fault = f"{path} is mounted read-only"
    elif not facts["is_writable"]:
        fault = f"{path} cannot be written to by this user"
    return Volume(
        root=name,
        path=path,
        filesystem=facts["filesystem"],
        root_id=facts.get("root_id", ""),
        total_bytes=facts["total"],
        free_bytes=facts["free"],
        is_writable=fault is None,
        fault=fault,
    )


def _start(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    # A session of its own: a Ctrl-C at the terminal is not for it. It ends when its standard input does.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _send(child: subprocess.Popen[bytes], line: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(line)
    child.stdin.flush()


def _line(child: subprocess.Popen[bytes], limit_s: float) -> bytes | None:
    """One line of the child, or None when it takes too long. Raises `EOFError` when it ended."""
    assert child.stdout is not None
    deadline, got = time.monotonic() + limit_s, b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not got.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                raise EOFError
            got += chunk
    return got


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    # Not waited for where the kernel holds it: it is nobody's any more.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
