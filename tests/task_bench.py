"""Runs a task's body as the child would: a real JobContext over a project folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from conductor.base.settings.settings import Settings, load
from conductor.model.spec import JobSpec, Needs, Output
from workers.isolation import output_check
from workers.task_api.context import JobContext
from workers.task_api.warm_cache import WarmStore

JOB_ID = "a" * 24


class Bench:
    """One project; `inputs` is where the user's own files lie."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self.settings: Settings = msgspec.structs.replace(load(folder), **settings)
        for root in self.settings.roots.values():
            root.path.mkdir(parents=True, exist_ok=True)
        self.warm = WarmStore()
        self.attempt = 0
        self.progress: list[float] = []
        self.notes: list[str] = []

    def context(
        self,
        *,
        args: Mapping[str, Any] | None = None,
        reads: Sequence[str | Path] = (),
        writes: Sequence[str] = (),
        updates: Sequence[str] = (),
        needs: Needs | None = None,
        task: str = "test.task",
        **options: Any,
    ) -> JobContext:
        spec = JobSpec(
            v=1,
            id=JOB_ID,
            workflow="test",
            task=task,
            args=dict(args or {}),
            needs=needs,
            reads=tuple(map(str, reads)),
            writes=tuple(Output(path=path) for path in writes),
            updates=tuple(updates),
        )
        return JobContext(
            spec,
            self.settings.for_code,
            on_progress=self._note,
            warm=self.warm,
            attempt=max(1, self.attempt),
            **options,
        )

    def run(self, body: Any, args: Mapping[str, Any] | None = None, **what: Any) -> dict[str, Any]:
        """The body's result; its outputs stay staged (`made`). Every run is an attempt of its own.

        They are held against the result as the child does it, and as `verify` does."""
        self.attempt += 1
        ctx = self.context(args=args, **what)
        result = body(args or {}, ctx)
        spec = msgspec.structs.replace(ctx.spec, task=body.__module__.rpartition(".")[2].replace("_", ".", 1))
        for check in (output_check.check_counts, output_check.check):
            check(self.settings.layout, spec, ctx.body, result)
        return result

    def made(self, write: str) -> Path:
        """Where the last run of a body left an output."""
        return self.context(writes=[write]).output(write)

    def put(self, path: str, source: Path) -> Path:
        """A file at `root:relative`, as if another job had published it."""
        root, _, relative = path.partition(":")
        target = self.settings.roots[root].path / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        return target

    def _note(self, share: float, note: str) -> None:
        self.progress.append(share)
        self.notes.append(note)
