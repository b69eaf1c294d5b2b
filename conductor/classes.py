"""JobSpec + TaskDecl → JobClass: jobs with the same request share one class. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from conductor.core.raising import class_id
from conductor.model.snapshot import JobClass
from conductor.model.spec import JobSpec, Output, TaskDecl, resolve

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
        duration_s=request.estimate.duration_s,
    )
    return msgspec.structs.replace(plain, id=class_id(plain))


class Classifier:
    """`class_of` with a memory: a manifest of 100,000 lines has a handful of classes."""

    def __init__(self, catalogue: Mapping[str, TaskDecl], backlog: str) -> None:
        self._catalogue = catalogue
        self._backlog = backlog
        self._known: dict[bytes, JobClass] = {}

    def __call__(self, spec: JobSpec) -> JobClass:
        sizes = [(o.path.partition(":")[0], o.bytes) for o in spec.writes]
        key = _encoder.encode([spec.task, spec.lane, spec.needs, spec.priority, sizes])
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = class_of(spec, self._catalogue[spec.task], self._backlog)
        return known

    @property
    def classes(self) -> tuple[JobClass, ...]:
        return tuple(self._known.values())
