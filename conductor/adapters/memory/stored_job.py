"""One job as the twin remembers it, with what was asked of it and who is preloaded behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from conductor.model.causes import Cause
from conductor.model.decision import Admission
from conductor.model.ledger_entries import JobState
from conductor.model.review import ItemVerdict, ReviewAsked
from conductor.model.snapshot import JobClass, Reservation

Verb = Literal["cancel", "fail", "requeue"]


class OperatorRequest(NamedTuple):
    """The operator's last word on a running job."""

    verb: Verb
    cause: Cause | None = None
    message: str = ""


@dataclass(slots=True)
class PreloadedSuccessor:
    """Who is preloaded behind a running job: `conductor:preloaded`."""

    of_attempt: int
    job_id: str
    attempt: int
    worker: str
    admission: Admission
    #: Charge key → bytes: in the sums and in the charges of the running one, until that ends or this will not
    #: begin.
    claim: dict[str, int] = field(default_factory=dict[str, int])
    is_void: bool = False


@dataclass(slots=True)
class StoredJob:
    """One job: `conductor:state`, `jobs`, `waits_for`, `reservations` and `failures` of the ledger."""

    id: str
    line: bytes
    job_class: JobClass
    seq: int
    since: float
    state: JobState = "waiting"
    attempts: int = 0
    accepted: int = 0
    token: str = ""
    #: Of the step in which its worker started it.
    step: int = 0
    waits_for: set[str] = field(default_factory=set[str])
    waits_for_end: set[str] = field(default_factory=set[str])
    not_before: float | None = None
    reservation: Reservation | None = None
    charges: dict[str, int] = field(default_factory=dict[str, int])
    lease_until: float = 0.0
    off_queue_at: float | None = None
    asked: OperatorRequest | None = None
    is_told: bool = False
    redone: int = 0
    #: What its accepted body shows to a person, while it waits for a verdict; with what was said so far, and
    #: the kind, code and role of a canary.
    shown: ReviewAsked | None = None
    verdicts: dict[int, ItemVerdict] = field(default_factory=dict[int, ItemVerdict])
    shown_as: Reservation | None = None
    is_revised: bool = False
    #: Its own priority, where it goes as of a higher one that is handed down to it.
    own_priority: int | None = None
    cause: Cause | None = None
    message: str = ""
    failures: Counter[Cause] = field(default_factory=Counter[Cause])

    @property
    def is_shown(self) -> bool:
        """A person's verdict on what it made is waited for."""
        return self.state == "review" and self.shown is not None

    @property
    def is_set_aside(self) -> bool:
        """With its kind, or with a job that it comes after."""
        return self.state == "review" and self.shown is None


def entry_of(held: Reservation) -> str:
    return f"{held.job_id}-a{held.attempt}"


def note_orphan(job: StoredJob, dead: str) -> None:
    job.cause, job.message = "dependency_dead", f"it comes after {dead}, which did not make it"


def forget_failures(job: StoredJob) -> None:
    job.cause, job.message = None, ""
    job.failures.clear()
