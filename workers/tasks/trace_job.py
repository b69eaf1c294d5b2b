"""`trace.job`: a job of a recorded workload. It is for `conductor simulate`; a worker refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor.base.errors import BadInput
from workers.task_api.context import JobContext
from workers.task_api.registry import task


@task("trace.job", lane="cpu", retry={"bad_input": 0})
def trace_job(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any] | None:
    """Nothing is known of a recorded job but how long it took and what it held."""
    raise BadInput(
        "trace.job stands for a recorded job and cannot be run: use `conductor simulate` on its manifest"
    )
