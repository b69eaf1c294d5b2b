"""Snapshot: everything the decision may look at, at one instant. `now` is Redis time in epoch seconds."""

from __future__ import annotations

from typing import Literal

from conductor.model.files import Chain
from conductor.model.receipt import Usage
from conductor.model.report import NodeReport
from conductor.model.spec import Lane, Needs, Value

ActiveState = Literal["admitted", "running"]


class JobClass(Value, frozen=True, kw_only=True):
    """Jobs with the same request. The decision looks at classes; its cost does not follow the backlog's length."""

    id: str
    backlog: str
    task: str
    lane: Lane
    needs: Needs
    priority: int = 0
    #: Root → bytes its outputs will take there (from `writes`); charged with `needs.scratch_bytes`.
    writes: dict[str, int] = {}
    #: The estimate, rounded up to a step (`core.steps`), as is the size: like jobs share a class.
    duration_s: float = 0.0
    size: float = 0.0
    #: Task and parameters: what canaries and breakers go by.
    kind: str = ""
    #: What a worker may keep warm for it («onnx:yolov8n»); empty: nothing.
    warm: str = ""


class Head(Value, frozen=True, kw_only=True):
    """One of the next jobs of a class."""

    job_id: str
    #: Attempts made so far; the next one is `attempts + 1`.
    attempts: int
    #: When it was dispatched (epoch seconds, Redis time).
    since: float


class Candidate(Value, frozen=True, kw_only=True):
    """A class with waiting jobs and its first few."""

    job_class: JobClass
    waiting: int
    heads: tuple[Head, ...]


class Reservation(Value, frozen=True, kw_only=True):
    """What one admitted or running attempt holds. Made in the step that hands it over, released when it ends."""

    job_id: str
    attempt: int
    class_id: str
    task: str
    node: str
    queue: str
    lane: Lane
    #: Keys of the devices it was placed on; empty for a job without VRAM.
    devices: tuple[str, ...] = ()
    #: Per device.
    vram_mib: int = 0
    ram_mib: int = 0
    cpu: float = 0.0
    #: Root → bytes.
    disk: dict[str, int] = {}
    state: ActiveState = "admitted"
    worker: str | None = None
    admitted_at: float = 0.0
    started_at: float | None = None
    expected_s: float = 0.0
    #: Last measured use, None before the first measurement.
    usage: Usage | None = None
    #: What the task said of itself: fraction done in [0, 1] and a word, for the display.
    progress: float | None = None
    note: str = ""
    #: Seconds since it last said so, as of the last renewal of its lease.
    quiet_s: float = 0.0
    #: Over job, attempt, queue and line, where a key is configured (`conductor.signing`).
    signature: str = ""


class RateState(Value, frozen=True, kw_only=True):
    """One API's budget at this instant. None: that budget has no known limit."""

    key: str
    requests_left: int | None = None
    requests_limit: int | None = None
    tokens_left: int | None = None
    tokens_limit: int | None = None
    #: When the window gives room again.
    resets_at: float | None = None
    #: A 429 closed it until then.
    closed_until: float | None = None
    #: The limits were learned from 429s, not configured.
    is_learned: bool = False


class Controls(Value, frozen=True, kw_only=True):
    """What the operator said."""

    paused_lanes: tuple[Lane, ...] = ()
    is_draining: bool = False
    draining_nodes: tuple[str, ...] = ()
    #: Why the conductor itself starts nothing (a ledger that was emptied); empty: it does.
    hold: str = ""


class Snapshot(Value, frozen=True, kw_only=True):
    now: float
    nodes: tuple[NodeReport, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    #: Queue → jobs handed over and not yet started.
    queued: dict[str, int] = {}
    rates: tuple[RateState, ...] = ()
    controls: Controls = Controls()
    #: What jobs of the backlog read of each other: the chains that were begun, and those of the heads.
    chains: tuple[Chain, ...] = ()
    #: The longest that any job has waited so far: what is usual here, and so what is too long.
    longest_wait_s: float = 0.0
