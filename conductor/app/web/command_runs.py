"""Commands of ours as processes of their own: the same checks and answers as on the command line, and code of
the project (tasks, plans) never runs in the process that listens.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import orjson
from fastapi import Response

from conductor.app import forked_commands
from conductor.app.forked_commands import WantedCommand
from conductor.app.web.answers import json_answer, problem, status_of_exit
from conductor.base.errors import Unreachable

#: Longer takes a manifest of a million lines; then it goes on, and is asked for once more.
LIMIT_S = 600.0
#: So many at once; others wait.
AT_ONCE = asyncio.Semaphore(2)


class CommandResult(NamedTuple):
    exit_code: int
    #: What it said as JSON; None: it said none.
    said: Any
    #: What it said to a person.
    words: str


#: Of a question: somebody looks at the page until it is answered. They go one after the other, and behind
#: whatever else runs on this host.
QUESTION_S, QUESTION_NICE = 30.0, 10
ONE_QUESTION = asyncio.Semaphore(1)


async def run_command(project: Path, *words: str) -> CommandResult:
    """`conductor WORDS`, to its end. Raises `Unreachable` where that takes too long."""
    async with AT_ONCE:
        return await _run(project, words, LIMIT_S, "send it once more")


async def ask_command(project: Path, *words: str) -> CommandResult:
    """The same of one that changes nothing and costs time to work out. Raises `Unreachable`, also where
    others ask."""
    if ONE_QUESTION.locked():
        raise Unreachable("somebody else's question is being worked out: ask again in a moment")
    async with ONE_QUESTION:
        return await _run(
            project, words, QUESTION_S, "too much waits to be played through here", QUESTION_NICE
        )


async def _run(
    project: Path, words: Sequence[str], limit_s: float, then: str, nice: int = 0
) -> CommandResult:
    wanted = WantedCommand(tuple(words), str(project), nice)
    try:
        async with asyncio.timeout(limit_s):
            code, out, err = await FORKED.run(wanted) or await started(wanted)
    except TimeoutError:
        raise Unreachable(f"it was not over after {limit_s:.0f} s: {then}") from None
    try:
        said = orjson.loads(out) if out.strip() else None
    except orjson.JSONDecodeError:
        said = None
    return CommandResult(code, said, err.decode("utf-8", "backslashreplace"))


async def started(wanted: WantedCommand) -> tuple[int, bytes, bytes]:
    """As a process of its own, from its first import on: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "conductor", *wanted.words),
        cwd=wanted.project,
        env={**os.environ, "CONDUCTOR_PROJECT": wanted.project, "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if wanted.nice:
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, wanted.nice)
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, out, err


class ForkedCommands:
    """Commands forked from a process that has made their imports: of a delivery's half second most is that.
    It is started by the first who needs it, and ends by itself when nobody has for a while."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: socket.socket | None = None

    async def run(self, wanted: WantedCommand) -> tuple[int, bytes, bytes] | None:
        """None: it could not be asked, or was gone before it had answered. What is given up is killed."""
        if sys.platform != "linux":
            return None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs, _in_memory() as out, _in_memory() as err:
            fds = [out.fileno(), err.fileno(), theirs.fileno()]
            try:
                socket.send_fds(self._asked_at(), [msgspec.json.encode(wanted)], fds)
            except OSError:  # It has just ended, or that is more than fits into one question.
                return None
            theirs.close()
            code = await asyncio.get_running_loop().sock_recv(ours, 16)
            out.seek(0)
            err.seek(0)
            return (int(code), out.read(), err.read()) if code else None

    def _asked_at(self) -> socket.socket:
        if self._asked is not None and self._process is not None and self._process.poll() is None:
            return self._asked
        if self._asked is not None:
            self._asked.close()
        self._asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asked.setblocking(False)
        with theirs:
            fd = theirs.fileno()
            argv = [sys.executable, "-P", "-m", forked_commands.__name__, str(fd)]
            # In a session of its own: a Ctrl-C is for the server, which leaves when it has answered.
            self._process = subprocess.Popen(
                argv, pass_fds=[fd], stdin=subprocess.DEVNULL, start_new_session=True
            )
        return self._asked


def _in_memory() -> IO[bytes]:
    return os.fdopen(os.memfd_create("said"), "w+b")


FORKED = ForkedCommands()


def answered(found: CommandResult) -> Response:
    """0 and 1 are answers: it was done, and 1 says that there is something to be looked at."""
    if found.exit_code in (0, 1) and found.said is not None:
        return json_answer({"exit_code": found.exit_code, **found.said})
    first, *rest = found.words.strip().splitlines() or ["it ended without a word"]
    sentence = first.removeprefix("conductor: ")
    return problem(sentence, status_of_exit(found.exit_code), found.exit_code, tuple(map(str.strip, rest)))
