"""A real child without a worker around it: what the tests of bodies and of what they leave play their
scenes with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.spec import JobSpec, to_line
from tests.builders import a_spec
from workers.isolation.child_process import ChildProcess
from workers.isolation.protocol import BodyEnded, BodyProgress, Passed, Run
from workers.system import process_tree
from workers.system.process_tree import children_of

LIMIT_S = 30.0


class ChildScene:
    """`tasks`: the source of the module with the bodies."""

    def __init__(self, folder: Path, tasks: str) -> None:
        module = f"bodies_{uuid4().hex[:8]}"
        (folder / f"{module}.py").write_text(tasks, encoding="utf-8")
        roots = {"scratch": Root(path=folder / "scratch"), "published": Root(path=folder / "published")}
        self.settings = Settings(
            project=folder,
            state_dir=folder / "state",
            logs_dir=folder / "logs",
            task_modules=(module,),
            roots=roots,
        )
        self._catalogue = load_catalogue((module,), folder)
        # A worker ends whatever is below it; this process has the tests' own server there.
        self._patch = pytest.MonkeyPatch()
        others = tuple(children_of(os.getpid()))
        self._patch.setattr(process_tree, "kill_adopted", partial(process_tree.kill_adopted, but=others))
        self.host = ChildProcess(self.settings, "test")
        self._numbers = 0

    def run(self, task: str, args: Mapping[str, Any] | None = None) -> BodyEnded:
        """The body in the child that is there, or in a new one where the host says so."""
        self.host.ensure(())
        self.host.begin()
        spec = self.give(task, args)
        ended = self.hear()
        assert isinstance(ended, BodyEnded)
        self.host.printed.end(spec.id, f"{self._numbers}.abcd", ended.log_bytes)
        if ended.breaks_off:
            self.host.passes_over(0)
        self.host.weigh(ended, None)
        return ended

    def printed(self) -> list[str]:
        """Of each body that printed anything, the latest last."""
        files = sorted(self.settings.logs_dir.glob("jobs/*/*.out"), key=lambda file: file.stat().st_mtime_ns)
        return [file.read_text(errors="replace") for file in files]

    def give(self, task: str, args: Mapping[str, Any] | None = None) -> JobSpec:
        self._numbers += 1
        spec = a_spec(self._numbers, task=task, args=dict(args or {}))
        line, decl = to_line(spec).decode(), self._catalogue[task]
        self.host.give(Run(line=line, decl=decl, job_id=spec.id, attempt=1, timeout_s=LIMIT_S))
        return spec

    def hear(self) -> BodyEnded | Passed:
        """The next word that is no progress."""
        while isinstance(said := self.host.channel.receive(LIMIT_S), BodyProgress):
            pass
        assert said is not None, f"silent for {LIMIT_S:g} s"
        return said

    def close(self) -> None:
        self.host.close()
        self._patch.undo()
