"""JobSpec + TaskDecl → JobClass: jobs with the same request share one class. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from conductor.core.raising import class_id
from conductor.core.steps import step_up
from conductor.model.snapshot import JobClass
from conductor.model.spec import JobSpec, Output, TaskDecl, filled, resolve

_encoder = msgspec.json.Encoder(order="deterministic")


def bytes_per_root(writes: tuple[Output, ...]) -> dict[str, int]:
    """Root → bytes that the outputs will take there. 0 where only small files land: the root must still be there."""
    totals: dict[str, int] = {}
    for output in writes:
        root = output.path.partition(":")[0]
        totals[root] = totals.get(root, 0) + output.bytes
    return totals


def class_of(spec: JobSpec, decl: TaskDecl, backlog: str) -> JobClass:
    """The class of a job, before any attempt taught better (`core.raising`)."""
    request = resolve(spec, decl)
    plain = JobClass(
        id="",
        backlog=backlog,
        task=spec.task,
        lane=request.lane,
        needs=request.needs,
        priority=spec.priority,
        writes=bytes_per_root(spec.writes),
        duration_s=step_up(request.estimate.duration_s),
        size=step_up(request.estimate.size),
        kind=kind_of(spec, decl),
        warm=filled(decl.warm, spec.args),
    )
    return msgspec.structs.replace(plain, id=class_id(plain))


def kind_of(spec: JobSpec, decl: TaskDecl) -> str:
    """«media.render», or «media.render:3fa9c1d2» where arguments set kinds apart."""
    if not decl.parameters:
        return spec.task
    chosen = [spec.args.get(name) for name in decl.parameters]
    return f"{spec.task}:{hashlib.sha256(_encoder.encode(chosen)).hexdigest()[:8]}"


class Classifier:
    """`class_of` with a memory: a manifest of 100,000 lines has a handful of classes."""

    def __init__(self, catalogue: Mapping[str, TaskDecl], backlog: str) -> None:
        self._catalogue = catalogue
        self._backlog = backlog
        self._known: dict[bytes, JobClass] = {}

    def __call__(self, spec: JobSpec) -> JobClass:
        decl = self._catalogue[spec.task]
        sizes = [(o.path.partition(":")[0], o.bytes) for o in spec.writes]
        steps = spec.estimate and (step_up(spec.estimate.duration_s), step_up(spec.estimate.size))
        patterns = (decl.warm, decl.rate)
        has_any = decl.parameters or any(patterns)
        apart = [kind_of(spec, decl), *(filled(each, spec.args) for each in patterns)] if has_any else None
        key = _encoder.encode([spec.task, spec.lane, spec.needs, spec.priority, sizes, steps, apart])
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = class_of(spec, decl, self._backlog)
        return known

    @property
    def classes(self) -> tuple[JobClass, ...]:
        return tuple(self._known.values())
