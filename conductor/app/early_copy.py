"""Our own commands as copies of the process that starts them (`conductor.adapters.host.own_copy`).

A copy is made early, while that process has one thread and holds nothing, and waits to be told what it
becomes. It imports nothing meanwhile but what it is told to.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import runpy
import socket
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from conductor.adapters.host.own_copy import OwnCopy, can_copy, die_with, settle_copy
from conductor.adapters.host.shown_words import become, show_as

#: What each part of `up` imports.
ALL = ("conductor.adapters.open_ledger", "conductor.adapters.redis", "conductor.base.logs.logs")
#: Command → what it imports beside that.
IMPORTS: Mapping[str, tuple[str, ...]] = {
    "node": ("conductor.node.run",),
    "conduct": ("conductor.app.conduct", "conductor.app.cli.flow"),
    "web": ("conductor.app.web.application", "conductor.app.web.serve", "conductor.app.web.routes"),
    "dashboard": ("conductor.views.dashboard", "flask", "werkzeug.serving", "rq_dashboard"),
}
MOST_BYTES = 1 << 20
#: Command → the copy that is kept for it.
_kept: dict[str, EarlyCopy] = {}


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """These modules are wanted in a moment."""

    modules: tuple[str, ...]


class Become(msgspec.Struct, frozen=True, tag=True):
    """`conductor WORDS`, as the program would be with these variables."""

    words: tuple[str, ...]
    env: dict[str, str]
    project: str


class EarlyCopy:
    """It ends with this process, and when it is closed."""

    def __init__(self, process: OwnCopy, line: socket.socket) -> None:
        self._process = process
        self.line = line

    def prepare(self, modules: Iterable[str]) -> None:
        """It imports them while this process goes on."""
        with suppress(OSError):
            self.line.send(msgspec.json.encode(Prepare(tuple(modules))))

    def become(self, words: Sequence[str], env: Mapping[str, str], project: Path) -> OwnCopy | None:
        """None where it is gone. `env`: added to ours."""
        order = Become(tuple(words), {**os.environ, **env}, str(project))
        try:
            self.line.send(msgspec.json.encode(order))
        except OSError:
            self.close()
            return None
        self.line.close()
        return self._process

    def close(self) -> None:
        """It is not needed."""
        self.line.close()
        self._process.kill()
        self._process.wait()


def keep_copy(command: str) -> None:
    """For the first process of that command that is begun from here (`taken`); none where a copy would not be
    a sound process. In the copy this does not return: when its command is over, that process ends from here.
    """
    if not can_copy():
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent, pid = os.getpid(), os.fork()
    if pid:
        theirs.close()
        _kept[command] = EarlyCopy(OwnCopy(pid, command), ours)
        return
    # It would keep the others from hearing that their process has ended.
    for line in (ours, *(copy.line for copy in _kept.values())):
        line.close()
    _kept.clear()
    _serve(theirs, parent)


def taken(command: str) -> EarlyCopy | None:
    """The copy that is kept for it, once."""
    return _kept.pop(command, None)


def prepare_copy(command: str) -> None:
    """It will be wanted in a moment: it imports what that command needs while this process goes on."""
    if command in _kept:
        _kept[command].prepare(IMPORTS[command])


@contextmanager
def closing_copies() -> Generator[None]:
    """Whom nobody has taken by the end of the block is not needed."""
    try:
        yield
    finally:
        while _kept:
            _kept.popitem()[1].close()


def _serve(line: socket.socket, parent: int) -> NoReturn:
    die_with(parent)
    while True:
        data = line.recv(MOST_BYTES)
        if not data:
            os._exit(0)
        order = msgspec.json.decode(data, type=Prepare | Become)
        if isinstance(order, Become):
            break
        import_all(order.modules)
    line.close()
    settle_copy(Path(order.project))
    become(order.env)
    words = ["-P", "-m", "conductor", *order.words]
    show_as([sys.executable, *words])
    sys.argv = ["conductor", *order.words]
    runpy.run_module("conductor", run_name="__main__", alter_sys=True)
    sys.exit()


def import_all(modules: Iterable[str]) -> None:
    """Them, and what lies in them where they are packages of ours."""
    for name in modules:
        module = importlib.import_module(name)
        if name.startswith("conductor.") and hasattr(module, "__path__"):
            for each in pkgutil.iter_modules(module.__path__, f"{name}."):
                importlib.import_module(each.name)
