"""JobClass: what jobs with the same request have in common. What makes one, and its name, stand here only."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping

import msgspec

from conductor.model.spec import (
    EngineNeed,
    JobSpec,
    Lane,
    Needs,
    Output,
    TaskDecl,
    Value,
    filled,
    on_engine,
    resolve,
)

#: Steps per doubling of a duration or a size: a step is 9 % above the one before.
STEPS = 8
#: Fields that no line asks for, and what stands for them in the name: the name itself, and what is learned
#: later.
TAUGHT: Mapping[str, object] = {"id": "", "learned": (), "is_untried": False}

_encoder = msgspec.json.Encoder(order="deterministic")


class JobClass(Value, frozen=True, kw_only=True):
    """Jobs with the same request. The decision looks at classes; its cost does not follow the backlog's
    length.

    A field makes classes of its own (`class_id`) unless `TAUGHT` names it."""

    id: str
    backlog: str
    task: str
    lane: Lane
    needs: Needs
    #: What its jobs' lines ask, where failed attempts have raised that since (`core.needs.escalation`).
    planned: Needs | None = None
    priority: int = 0
    #: Root → bytes its outputs will take there (from `writes`); charged with `needs.scratch_bytes`.
    writes: dict[str, int] = {}
    #: The estimate, rounded up to a step (`step_up`), as is the size: like jobs share a class.
    duration_s: float = 0.0
    size: float = 0.0
    #: Task and parameters: what canaries and breakers go by.
    kind: str = ""
    #: What a worker may keep warm for it («onnx:yolov8n»); empty: nothing.
    warm: str = ""
    #: Where receipts taught other needs than its jobs declare: each as a sentence
    #: (`conductor.tick.learned_needs`).
    learned: tuple[str, ...] = ()
    #: No receipt of its kind tells yet what such jobs take (`core.admission.unmeasured_tasks`).
    is_untried: bool = False


# ── what makes a class ────────────────────────────────────────────────────────────────────────────────────


def class_of(spec: JobSpec, decl: TaskDecl, backlog: str) -> JobClass:
    """The class of a job, before any attempt taught better (`core.needs.escalation`)."""
    return named(_nameless(spec, decl, backlog))


def _nameless(spec: JobSpec, decl: TaskDecl, backlog: str) -> JobClass:
    request = resolve(spec, decl)
    return JobClass(
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


def named(job_class: JobClass) -> JobClass:
    """Under the id that its request gives."""
    return msgspec.structs.replace(job_class, id=class_id(job_class))


def with_engine(job_class: JobClass, engine: EngineNeed, *, is_bound: bool = False) -> JobClass:
    """The class of the same jobs on another one of their engines. `is_bound`: on no other from now on."""

    def chosen(needs: Needs) -> Needs:
        now = on_engine(needs, engine)
        return msgspec.structs.replace(now, engines=(engine,)) if is_bound else now

    planned = job_class.planned
    return named(
        msgspec.structs.replace(
            job_class, needs=chosen(job_class.needs), planned=None if planned is None else chosen(planned)
        )
    )


def class_id(job_class: JobClass) -> str:
    """12 letters and digits over all that is asked, so that every host names the same class alike."""
    return _id_of(_asked(msgspec.structs.replace(job_class, **TAUGHT)))


def _asked(nameless: JobClass) -> bytes:
    """Fields at their defaults are left out: a new one leaves the names of classes that do not use it as
    they are.
    """
    return _encoder.encode(nameless)


def _id_of(asked: bytes) -> str:
    return base64.b32encode(hashlib.sha256(asked).digest())[:12].decode().lower()


def kind_of(spec: JobSpec, decl: TaskDecl) -> str:
    """«media.render», or «media.render:3fa9c1d2» where arguments set kinds apart."""
    if not decl.parameters:
        return spec.task
    chosen = [spec.args.get(name) for name in decl.parameters]
    return f"{spec.task}:{hashlib.sha256(_encoder.encode(chosen)).hexdigest()[:8]}"


def bytes_per_root(writes: tuple[Output, ...]) -> dict[str, int]:
    """Root → bytes that the outputs will take there. 0 where only small files land: the root must still be
    there.
    """
    totals: dict[str, int] = {}
    for output in writes:
        root = output.path.partition(":")[0]
        totals[root] = totals.get(root, 0) + output.bytes
    return totals


def step_up(value: float) -> float:
    """Up to the next step: nobody is thought to end before it does. 0 (not known) stays 0."""
    return 0.0 if value <= 0 else 2 ** (math.ceil(math.log2(value) * STEPS - 1e-9) / STEPS)


class Classifier:
    """`class_of` for many jobs: each class is made once. A manifest of 100,000 lines has a handful of
    them.
    """

    def __init__(self, catalogue: Mapping[str, TaskDecl], backlog: str) -> None:
        self._catalogue = catalogue
        self._backlog = backlog
        self._known: dict[bytes, JobClass] = {}

    def __call__(self, spec: JobSpec) -> JobClass:
        nameless = _nameless(spec, self._catalogue[spec.task], self._backlog)
        asked = _asked(nameless)
        known = self._known.get(asked)
        if known is None:
            known = self._known[asked] = msgspec.structs.replace(nameless, id=_id_of(asked))
        return known

    @property
    def classes(self) -> tuple[JobClass, ...]:
        return tuple(self._known.values())
