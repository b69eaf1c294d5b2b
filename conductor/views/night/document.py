"""What a report holds. Every figure follows from receipts, manifests, journal and recorded ticks; times are
epoch seconds, names and messages are strangers' text: whoever shows them escapes them.
"""

from __future__ import annotations

from typing import Literal

from conductor.analysis.price import Price
from conductor.model.spec import Value

REPORT_VERSION = 1

#: What became of a job by the end of the report. `behind`: it never ran, for another is dead or cancelled.
FateState = Literal["done", "dead", "behind", "cancelled", "review", "running", "waiting"]
#: read: its bytes and content are what was published. present: it is there in its size, and was not read.
#: removed: its readers were done. The others are findings.
OutputState = Literal["read", "present", "removed", "altered", "missing"]


class ClockSpan(Value, frozen=True, kw_only=True):
    """From then on the clocks on the wall are so far ahead of UTC."""

    begins: float
    offset_s: int
    name: str


class Sources(Value, frozen=True, kw_only=True):
    """What the figures were worked out of. `ticks` 0: nothing was recorded."""

    receipts: int = 0
    manifests: int = 0
    notes: int = 0
    ticks: int = 0
    skipped_ticks: int = 0
    recorded_from: float | None = None
    recorded_until: float | None = None


class JobFigures(Value, frozen=True, kw_only=True):
    """Jobs. All but `done_before` together are those of this night: done in it, or not done at its end."""

    done: int = 0
    dead: int = 0
    behind: int = 0
    cancelled: int = 0
    review: int = 0
    #: Of those in review: so many show something to a person, and wait for the verdict.
    shown: int = 0
    running: int = 0
    waiting: int = 0
    #: Of what waits: so many come after one that is in review, at whatever distance, and so many others after
    #: one that is not done.
    behind_review: int = 0
    behind_others: int = 0
    #: Of the dead and cancelled: so many were so before it began.
    earlier: int = 0
    done_before: int = 0

    @property
    def all(self) -> int:
        return self.done + self.left + self.dead + self.behind + self.cancelled

    @property
    def left(self) -> int:
        return self.review + self.running + self.waiting


class TaskFigures(Value, frozen=True, kw_only=True):
    """One task. `seconds`: what its attempts took in this night, failed ones among them."""

    task: str
    done: int = 0
    not_done: int = 0
    attempts: int = 0
    seconds: float = 0.0
    outputs: int = 0
    bytes: int = 0


class NamedJob(Value, frozen=True, kw_only=True):
    job_id: str
    task: str
    file: str = ""


class RootCause(Value, frozen=True, kw_only=True):
    """Jobs that are dead of one thing, and how many never ran for their sake."""

    cause: str
    task: str
    #: Of the first of them.
    message: str
    jobs: int
    behind: int
    seconds: float
    #: The first few.
    named: tuple[NamedJob, ...] = ()


class RetryFigures(Value, frozen=True, kw_only=True):
    """Failed attempts of one task and cause. A job counts once under each of its causes."""

    task: str
    cause: str
    failed: int
    #: Of those: they cost no try.
    free: int
    jobs: int
    #: What became of these jobs.
    recovered: int
    dead: int
    open: int
    seconds: float
    #: The most tries that one job which is done lost to it.
    most_to_recover: int
    #: Retries that the table grants; None: as many as it takes.
    budget: int | None
    #: What these figures say about the table; empty: nothing.
    advice: str = ""


class GateFigures(Value, frozen=True, kw_only=True):
    """`held_s`: seconds in which it held at least one class back. `job_s`: the same added up over the jobs
    that waited. Gates that are closed together count each."""

    gate: str
    held_s: float
    job_s: float
    #: Share of each part of the night in which it was closed, in percent.
    strip: tuple[int, ...] = ()


class LastWaiting(Value, frozen=True, kw_only=True):
    """What waited at the last tick, and the gates that were closed to it."""

    backlog: str
    task: str
    jobs: int
    gates: tuple[str, ...]
    is_never: bool


class DeviceFigures(Value, frozen=True, kw_only=True):
    """One device, or the rest of a node. `busy_s`: at least one attempt ran there, by the receipts. VRAM in
    MiB; None: it was not recorded, or not measured."""

    node: str
    device: str
    jobs: int
    busy_s: float
    failed_s: float
    peak_mib: int | None = None
    total_mib: int | None = None
    mean_promised_mib: float | None = None
    mean_used_mib: float | None = None
    strip: tuple[int, ...] = ()


class PredictedTask(Value, frozen=True, kw_only=True):
    """Attempts that ended well and were admitted with an expected duration."""

    task: str
    jobs: int
    expected_s: float
    took_s: float
    #: Half of them were off by no more than that share of what they took.
    median_off: float


class PredictedEnd(Value, frozen=True, kw_only=True):
    """What was said first of when a run would be through, and when it was. None: nothing of it was left open
    when the report was made, or it is not through."""

    backlog: str
    said_at: float
    left: int
    ends_at: float
    ended_at: float | None = None


class OutputRow(Value, frozen=True, kw_only=True):
    path: str
    job_id: str
    task: str
    bytes: int
    sha256: str
    state: OutputState
    #: What is wrong with it.
    fault: str = ""
    #: sha256 of the picture of it that the file holds; empty: none.
    poster: str = ""


class OutputFigures(Value, frozen=True, kw_only=True):
    """Files that jobs of this night published. `rows`: those with a fault first, then the products."""

    files: int = 0
    bytes: int = 0
    read: int = 0
    present: int = 0
    removed: int = 0
    altered: int = 0
    missing: int = 0
    rows: tuple[OutputRow, ...] = ()


class WhatIf(Value, frozen=True, kw_only=True):
    """The recorded night played through with one thing more. `because`: why there is no play."""

    because: str = ""
    played: Price | None = None
    rule: str = ""
    #: From the first arrival to the last end, as it was.
    took_s: float = 0.0


class Answer(Value, frozen=True, kw_only=True):
    """One of the questions of 08:00."""

    question: str
    words: str
    #: good: nothing to do. act: a person is needed. plain: a fact.
    tone: Literal["good", "act", "plain"] = "plain"
    #: Words of the job filter that list what it counts; empty: no list does.
    filter: str = ""
    #: What to type.
    commands: tuple[str, ...] = ()


class NightReport(Value, frozen=True, kw_only=True):
    v: Literal[1] = REPORT_VERSION
    project: str
    #: Of Conductor.
    version: str
    since: float
    until: float
    made_at: float
    clock: tuple[ClockSpan, ...]
    #: Outputs were read whole; else only looked at.
    is_deep: bool
    #: The night was played once more, as far as it was recorded.
    is_played: bool
    headline: str = ""
    answers: tuple[Answer, ...] = ()
    jobs: JobFigures
    #: When the last job of this night was done; None: none was.
    last_done_at: float | None = None
    tasks: tuple[TaskFigures, ...] = ()
    causes: tuple[RootCause, ...] = ()
    #: Root causes beyond those that are listed.
    more_causes: int = 0
    retries: tuple[RetryFigures, ...] = ()
    gates: tuple[GateFigures, ...] = ()
    waiting: tuple[LastWaiting, ...] = ()
    devices: tuple[DeviceFigures, ...] = ()
    predicted_tasks: tuple[PredictedTask, ...] = ()
    predicted_ends: tuple[PredictedEnd, ...] = ()
    what_if: WhatIf = WhatIf()
    outputs: OutputFigures = OutputFigures()
    sources: Sources = Sources()
    notes: tuple[str, ...] = ()
