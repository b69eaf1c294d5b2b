"""`@task`: a function becomes a task that manifests can name. The declaration travels on the function itself.

There is no global table: a catalogue (`conductor.dispatch.catalogue`) holds what the modules it was told to
load declare.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from conductor.base.errors import JobError
from conductor.model.causes import Cause
from conductor.model.spec import Estimate, Lane, Needs, TaskDecl

if TYPE_CHECKING:
    from workers.task_api.context import JobContext

    Body = Callable[[Mapping[str, Any], JobContext], dict[str, Any] | None]

#: Attribute of a task's function that holds its `TaskDecl`; `conductor.dispatch.catalogue` looks for it by
#: this name.
DECLARATION = "task_decl"

_NO_NEEDS = Needs()
_NO_ESTIMATE = Estimate()


def task(
    name: str,
    *,
    lane: Lane,
    needs: Needs = _NO_NEEDS,
    floor: Needs = _NO_NEEDS,
    timeout_s: float = 3600.0,
    stall_s: float = 0.0,
    retry: Mapping[Cause, int] | None = None,
    estimate: Estimate = _NO_ESTIMATE,
    parameters: Sequence[str] = (),
    canary: int = 0,
    warm: str = "",
    rate: str = "",
    store: str = "",
) -> Callable[[Body], Body]:
    """Declare `def run(args, ctx) -> dict | None` as the task `name`.

    The module must be cheap to import (the planner imports it too): heavy libraries belong inside the
    function.
    """

    def declare(body: Body) -> Body:
        decl = TaskDecl(
            name=name,
            lane=lane,
            needs=needs,
            floor=floor,
            timeout_s=timeout_s,
            stall_s=stall_s,
            retry=dict(retry or {}),
            estimate=estimate,
            parameters=tuple(parameters),
            canary=canary,
            warm=warm,
            rate=rate,
            store=store,
            module=body.__module__,
            function=body.__name__,
        )
        setattr(body, DECLARATION, decl)
        return body

    return declare


def body_of(decl: TaskDecl) -> Body:
    """The function behind a declaration; imported here, in the worker's child, and nowhere else."""
    module = sys.modules.get(decl.module) or importlib.import_module(decl.module)
    body = getattr(module, decl.function, None)
    found: object = getattr(body, DECLARATION, None)
    if not isinstance(found, TaskDecl) or found.name != decl.name:
        raise JobError(f"task {decl.name}: {decl.module}.{decl.function} is not declared as it any more")
    return cast("Body", body)
