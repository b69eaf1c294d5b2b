"""What the contract suite needs of an engine under test: its own set-up, and how to wait for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conductor.model.engine import EngineJob, EngineResources, Submission
from conductor.ports.engine import Engine


@dataclass
class EngineScene:
    """`engine` with room for two submissions of one core each, and nobody else's work.

    A fixture of an adapter makes one, and hands it to `tests/contract/test_engines.py` (`SCENES` there)."""

    engine: Engine
    #: Where submissions begin; they may write there.
    folder: Path
    #: The engine cannot be asked from now on, and can again; what runs there lives on. None: never away.
    away: Callable[[], None] | None = None
    back: Callable[[], None] | None = None
    #: Another one on the same engine, as a conductor has that was started again. None: it forgets.
    again: Callable[[], Engine] | None = None
    #: The most that it could give to one submission.
    cpus: int = 2
    #: It has to have told of a change within so long.
    patience_s: float = 20.0
    keys: set[str] = field(default_factory=set)

    def key(self, name: str) -> str:
        key = f"cdr-test-{name}-1"
        self.keys.add(key)
        return key

    def python(self, code: str, *arguments: str, cpus: int = 1, time_limit_s: float = 60.0) -> Submission:
        return Submission(
            argv=(sys.executable, "-I", "-c", code, *arguments),
            folder=str(self.folder),
            environment={"CONDUCTOR_TEST_WORD": "täglich"},
            output=str(self.folder / "output.txt"),
            resources=EngineResources(cpus=cpus, ram_mib=64),
            time_limit_s=time_limit_s,
        )

    def sleeper(self, name: str = "sleeper", **more: float) -> Submission:
        """Runs until the file `NAME.end` is there, or SIGTERM; writes its pid into `NAME.pid`."""
        return self.python(SLEEPER, name, **more)  # pyright: ignore[reportArgumentType]

    def end_sleeper(self, name: str = "sleeper") -> None:
        (self.folder / f"{name}.end").touch()

    def bodies(self, name: str) -> int:
        """How many sleepers of this name have begun, and one at least: an engine that says «running» may be
        about to start it.
        """
        begun, end = self.folder / f"{name}.pid", time.monotonic() + self.patience_s
        while not (begun.exists() and begun.read_text()):
            assert time.monotonic() < end, f"no body of {name} began"
            time.sleep(0.02)
        return len(begun.read_text().split())

    def wait(self, key: str, *states: str) -> EngineJob:
        end = time.monotonic() + self.patience_s
        found: EngineJob | None = None
        while time.monotonic() < end:
            found = self.engine.find([key]).get(key)
            if found is not None and found.state in states:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{key} is {found}, and not {' or '.join(states)}")


SLEEPER = """
import os, pathlib, sys, time
name = sys.argv[1]
with open(f"{name}.pid", "a") as file:
    file.write(f"{os.getpid()}\\n")
while not pathlib.Path(f"{name}.end").exists():
    time.sleep(0.02)
"""
