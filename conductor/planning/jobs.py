"""A manifest's line with its content id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from conductor.model.identity import identified
from conductor.model.spec import Estimate, JobSpec, Needs, Output

#: Of the plan that is being made: the run that its jobs belong to.
run_tag: ContextVar[str] = ContextVar("tag", default="")
#: Task → what `[priorities]` of conductor.toml says.
task_priorities: ContextVar[Mapping[str, int]] = ContextVar("priorities", default=MappingProxyType({}))

#: Until the id is known, which is worked out from the rest.
NAMELESS = "nameless"


def job(
    workflow: str,
    task: str,
    args: Mapping[str, Any],
    *,
    reads: Sequence[str] = (),
    inputs: Mapping[str, str] | None = None,
    writes: Mapping[str, int] | None = None,
    updates: Sequence[str] = (),
    after: Sequence[JobSpec] = (),
    after_ended: Sequence[JobSpec] = (),
    needs: Needs | None = None,
    duration_s: float | None = None,
    size: float = 0.0,
    **others: Any,
) -> JobSpec:
    """A manifest line with its id. `inputs`: the user's files → fingerprint; `writes`: path with `{id}` or
    `{short}` → bytes.

    `size`: in the task's own measure (pixels × seconds, characters); what jobs take is learned by it. 0: not
    known. Inputs are added to the reads. `updates`: files that are there and are changed in place. `others`
    are fields of `JobSpec` as they are: lane, priority, timeout_s, …
    """
    given = dict(inputs or {})
    others.setdefault("tag", run_tag.get())
    if task in (said := task_priorities.get()):
        others["priority"] = said[task]
    draft = JobSpec(
        v=1,
        id=NAMELESS,
        workflow=workflow,
        task=task,
        args=dict(args),
        reads=(*given, *reads),
        inputs=given,
        writes=tuple(Output(path=path, bytes=size) for path, size in (writes or {}).items()),
        updates=tuple(updates),
        after=tuple(dict.fromkeys(spec.id for spec in after)),
        after_ended=tuple(dict.fromkeys(spec.id for spec in after_ended)),
        needs=needs,
        estimate=_estimate(duration_s, size),
        **others,
    )
    return identified(draft)


def _estimate(duration_s: float | None, size: float) -> Estimate | None:
    """Only what is known is written. The size to three digits: people read it, and like jobs share a class
    anyway.
    """
    known: dict[str, float] = {} if duration_s is None else {"duration_s": duration_s}
    if size:
        known["size"] = float(f"{size:.3g}")
    return Estimate(**known) if known else None


def rounded_up(size: float) -> int:
    """Bytes up to the next of 1, 1½, 2, 3, 4, 6, 8, … MiB: like jobs stay in one class, whose number a
    tick costs.
    """
    step = 1 << 20
    while step < size:
        if step + (step >> 1) >= size:
            return step + (step >> 1)
        step <<= 1
    return step
