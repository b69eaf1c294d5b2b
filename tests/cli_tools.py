"""The command line from a test: in this process where that will do, as a user's process where it must be."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from forked_cli import ForkedCli, ForkedProcess, of_start

#: Whoever started it.
Process = subprocess.Popen[bytes] | ForkedProcess
REPOSITORY = Path(__file__).resolve().parent.parent
#: Of the tests' workers, wherever they begin: this checkout.
USUAL = {"conductor": dict[str, str](), "workers": {"PYTHONPATH": str(REPOSITORY)}}


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """`conductor …` in this process, for one project. Its settings come from there alone."""

    def __init__(
        self, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.project = project
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("CONDUCTOR_PROJECT", str(project))

    def __call__(self, *argv: str) -> Result:
        from conductor.app.cli.app import main

        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["conductor", *argv])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        return Result(int(ended.value.code or 0), shown.out, shown.err)


#: As this process began: what tests set later is for their commands.
BEGUN = of_start(os.environ)
LIBRARIES = "LD_LIBRARY_PATH"


def forked_cli(module: str, environment: Mapping[str, str]) -> ForkedCli | None:
    """Who forks `python -m MODULE …` for that environment. None: an interpreter that begins in another way
    than the others is a program of its own, save where it only finds other libraries (NVML's stub)."""
    usual, asked = {**BEGUN, **USUAL[module]}, of_start(environment)
    if {**asked, LIBRARIES: ""} != {**usual, LIBRARIES: ""}:
        return None
    return _forked_cli(module, asked.get(LIBRARIES))


@cache
def _forked_cli(module: str, libraries: str | None) -> ForkedCli:
    own = {LIBRARIES: libraries} if libraries is not None else {}
    here = ForkedCli(module, {**BEGUN, **USUAL[module], **own})
    atexit.register(here.close)
    return here


def started(argv: Sequence[str], cwd: Path, environment: Mapping[str, str], out: int) -> Process:
    """`python -P -m conductor …` in a session of its own, all that it says into `out`; its imports are there
    already, save where the environment makes another interpreter of it."""
    if here := forked_cli("conductor", environment):
        return here.start(argv, cwd, environment, out, out, is_safe=True)
    words = [sys.executable, "-P", "-m", "conductor", *argv]
    return subprocess.Popen(words, cwd=cwd, env=environment, stdout=out, stderr=out, start_new_session=True)


def started_worker(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Process:
    """`python -m workers …`, likewise; what it says is in its log."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  no Path
        if here := forked_cli("workers", environment):
            return here.start(argv, cwd, environment, nowhere.fileno(), nowhere.fileno())
        words = [sys.executable, "-m", "workers", *argv]
        return subprocess.Popen(words, cwd=cwd, env=environment, stderr=nowhere, start_new_session=True)


def conductor(*argv: str, cwd: Path, timeout: float = 100.0, env: dict[str, str] | None = None) -> Result:
    """`python -m conductor …` as a user starts it, save for its imports, which are there already."""
    environment = {**os.environ, **(env or {})}
    if here := forked_cli("conductor", environment):
        code, out, err = here.run(argv, cwd, environment, timeout)
        return Result(code, out.decode(), err.decode())
    return program(sys.executable, "-m", "conductor", *argv, cwd=cwd, timeout=timeout, env=env)


def program(*argv: str, cwd: Path, timeout: float = 100.0, env: dict[str, str] | None = None) -> Result:
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
