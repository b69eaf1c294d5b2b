"""Commands of ours as processes of their own: the same checks and answers as on the command line, and code of
the project (tasks, plans) never runs in the process that listens.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from fastapi import Response

from conductor.app.web.answers import json_answer, problem
from conductor.base.errors import ManifestError, Unreachable

#: Longer takes a manifest of a million lines; then it goes on, and is asked for once more.
LIMIT_S = 600.0
#: So many at once; others wait.
AT_ONCE = asyncio.Semaphore(2)
#: Exit code → status, where nothing was done.
STATUS_OF = {2: 400, ManifestError.exit_code: 422, Unreachable.exit_code: 503}


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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "conductor", *words),
        cwd=project,
        env={**os.environ, "CONDUCTOR_PROJECT": str(project), "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if nice:
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit_s)
    except TimeoutError:
        process.kill()
        raise Unreachable(f"it was not over after {limit_s:.0f} s: {then}") from None
    except asyncio.CancelledError:
        process.kill()
        raise
    try:
        said = orjson.loads(out) if out.strip() else None
    except orjson.JSONDecodeError:
        said = None
    assert process.returncode is not None
    return CommandResult(process.returncode, said, err.decode("utf-8", "backslashreplace"))


def answered(found: CommandResult) -> Response:
    """0 and 1 are answers: it was done, and 1 says that there is something to be looked at."""
    if found.exit_code in (0, 1) and found.said is not None:
        return json_answer({"exit_code": found.exit_code, **found.said})
    first, *rest = found.words.strip().splitlines() or ["it ended without a word"]
    sentence = first.removeprefix("conductor: ")
    return problem(
        sentence, STATUS_OF.get(found.exit_code, 500), found.exit_code, tuple(map(str.strip, rest))
    )
