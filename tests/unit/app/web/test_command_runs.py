"""Commands for who comes by HTTP: forked from one process, each as it would be had it been started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from conductor.app.forked_commands import WantedCommand
from conductor.app.web.command_runs import ForkedCommands, started

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each is started"),
    pytest.mark.anyio,
]

PLAN = """
import os, pathlib, time

def add_arguments(parser):
    parser.add_argument("--wait", action="store_true")

def plan(options, settings):
    print("the plan's own words")
    pathlib.Path("pid.part").write_text(str(os.getpid()))
    os.replace("pid.part", "pid")
    if options.wait:
        time.sleep(600)
    return []
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conductor.toml").touch()
    workflow = tmp_path / "workflows" / "mine"
    workflow.mkdir(parents=True)
    (workflow / "plan.py").write_text(PLAN)
    return tmp_path


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedCommands]:
    commands = ForkedCommands()
    yield commands
    assert commands._asked is not None and commands._process is not None
    commands._asked.close()
    assert commands._process.wait(10) == 0, "nobody is left to ask it"


def wanted(project: Path, *words: str) -> WantedCommand:
    return WantedCommand(words, str(project))


async def begun(project: Path, command: Awaitable[object]) -> tuple[asyncio.Task[object], int]:
    """The command's task, and its process as soon as its plan is running."""
    task = asyncio.ensure_future(command)
    while not (project / "pid").exists():
        assert not task.done(), task.result()
        await asyncio.sleep(0.02)
    return task, int((project / "pid").read_text())


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_each_says_what_it_says_as_a_process_of_its_own_and_none_leaves_anything(
    forked: ForkedCommands, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("other")
    (elsewhere / "conductor.toml").touch()
    known = ("plan", "mine", "-o", "made.jsonl")
    answers = [await forked.run(wanted(each, *known)) for each in (project, elsewhere)]
    assert answers[0] == await started(wanted(project, *known))
    assert answers[0] is not None and b"the plan's own words" in answers[0][2]
    assert answers[1] is not None and answers[1][0] == 2, "no code of the first is left for the second"


async def test_who_waits_no_longer_has_it_killed_and_others_go_on(
    forked: ForkedCommands, project: Path
) -> None:
    task, pid = await begun(project, forked.run(wanted(project, "plan", "mine", "--wait")))
    assert (await forked.run(wanted(project, "--version"))) is not None
    task.cancel()
    while not is_gone(pid):
        await asyncio.sleep(0.02)


async def test_one_that_is_gone_in_the_middle_is_told_and_the_next_one_is_answered(
    forked: ForkedCommands, project: Path
) -> None:
    task, pid = await begun(project, forked.run(wanted(project, "plan", "mine", "--wait")))
    assert forked._process is not None
    forked._process.kill()
    assert await task is None
    os.kill(pid, signal.SIGKILL)
    forked._process.wait(10)
    assert await forked.run(wanted(project, "x" * 500_000)) is None, "more than fits into a question"
    found = await forked.run(wanted(project, "--version"))
    assert found is not None and found[0] == 0
