"""What goes into the ledger and what it answers: jobs on their way in, as they stand there, attempts that
begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from conductor.model.causes import Cause
from conductor.model.chains import FileJob
from conductor.model.receipt import Receipt, Usage
from conductor.model.review import ItemVerdict, ReviewAsked
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import Exchanged

JobState = Literal["waiting", "admitted", "running", "done", "dead", "review", "cancelled"]
#: What a job that was cancelled says of itself.
BY_OPERATOR = "by the operator"
FAILED_BY_OPERATOR = "failed by the operator"
#: (`after`, `after_ended`) of a job.
Waits = tuple[Sequence[str], Sequence[str]]
NO_WAITS: Waits = ((), ())
STATES: tuple[JobState, ...] = ("waiting", "admitted", "running", "done", "dead", "review", "cancelled")


class EntryFiles(Struct, frozen=True, kw_only=True):
    """Of a job that writes files others read, or reads such: on roots whose files are let go when they
    were read.
    """

    #: `writes`: all its outputs on such roots; `elsewhere`: bytes on other roots.
    job: FileJob
    #: Path that it writes → all that are known to read it, those that are not put yet among them.
    readers: Mapping[str, Sequence[str]] = {}
    #: Of one that is done: where its files lie, and path → bytes.
    node: str = ""
    outputs: Mapping[str, int] = {}


class Entry(Struct, frozen=True, kw_only=True):
    """One job on its way into the backlog. `line` is the manifest line, kept byte for byte."""

    job_id: str
    line: bytes
    job_class: JobClass
    after: tuple[str, ...] = ()
    after_ended: tuple[str, ...] = ()
    #: A receipt of it was accepted earlier (Redis was emptied): it goes in as done.
    is_done: bool = False
    #: Attempts its receipts tell of (Redis was emptied); of a job that is done: the number of the accepted
    #: one.
    attempts: int = 0
    #: Of the body of that one, where it is known.
    token: str = ""
    #: It had failed for good, or was cancelled, before Redis was emptied: so it goes in, and takes those
    #: along that come after it.
    over: Literal["dead", "cancelled"] | None = None
    #: Cause → failed attempts before Redis was emptied, and the last one's words.
    failures: Mapping[Cause, int] = {}
    cause: Cause | None = None
    message: str = ""
    #: Epoch seconds: its last failure's back-off was not over yet when Redis was emptied.
    not_before: float | None = None
    files: EntryFiles | None = None
    #: Where its class has a priority that those which come after it hand down to it; None: it is its own.
    own_priority: int | None = None
    #: A body of it, attempt `attempts`, waits for a person's verdict: what it shows, and what was said.
    shown: ReviewAsked | None = None
    verdicts: tuple[ItemVerdict, ...] = ()

    @property
    def is_plain(self) -> bool:
        """All that there is to know of it is its line and its class: it waits for nobody, and was never
        tried."""
        waits = (
            self.after or self.after_ended or self.not_before or self.files or self.own_priority is not None
        )
        was_tried = self.is_done or self.attempts or self.over or self.failures or self.shown
        return not (waits or was_tried)


class Unsettled(Struct, frozen=True, kw_only=True):
    """Redis may have forgotten its last writes: it was started again, or another server took its place."""

    #: Seconds since the leader called the roll.
    for_s: float
    #: Workers that have not said yet what they hold.
    silent: int
    #: Epoch seconds by the ledger's clock: when a leader was last heard before, as far as it knows; 0: never.
    heard_at: float = 0.0


class Pulse(Struct, frozen=True, kw_only=True):
    """Is this the ledger we know, and may it hand anything out."""

    mark: str | None = None
    #: Seconds for which it is being rebuilt; 0: it is not.
    rebuilt_s: float = 0.0
    unsettled: Unsettled | None = None


class Settled(Struct, frozen=True, kw_only=True):
    """What became of a ledger that may have forgotten something."""

    #: Attempts that nobody runs, or that may have been started in what was forgotten.
    went_back: int
    #: New attempts have higher numbers; 0: nothing was forgotten that anybody had heard.
    floor: int


class PutResult(Struct, frozen=True, kw_only=True):
    new: int
    known: int


class Revised(Struct, frozen=True, kw_only=True):
    """What became of known jobs that were dispatched again, where something of them is another now."""

    #: Those that took the line they were dispatched with.
    changed: int = 0
    #: Of those: dead or in review before, waiting again → attempts so far.
    risen: Mapping[str, int] = {}
    #: Handed over or running: they keep the line they have.
    going: int = 0
    #: Done by the line as it was.
    done: int = 0
    #: Those that came out of another backlog into this one.
    moved: int = 0
    #: Backlog → those, not done, that stay in it.
    elsewhere: Mapping[str, int] = {}


#: So many of those a job waits for are named, of as many as there may be.
MOST_NAMED = 20
#: In this order.
WAITED_FOR = ("dead", "cancelled", "review", "unknown", "running", "admitted", "waiting", "done")


class JobView(Struct, frozen=True, kw_only=True):
    """All the ledger knows of one job."""

    job_id: str
    state: JobState
    backlog: str
    class_id: str
    #: With what failed attempts taught of its needs (`core.needs.escalation`).
    job_class: JobClass
    attempts: int
    since: float
    line: bytes
    #: Why it is dead, or why its last attempt failed.
    cause: Cause | None = None
    message: str = ""
    #: Not before then (a retry's back-off); None when it may go at once.
    not_before: float | None = None
    #: Of the jobs in `after` not yet accepted, and in `after_ended` not yet ended, the first few, in order of
    #: `WAITED_FOR`: those that keep it for good before those that will end by themselves.
    waits_for: tuple[str, ...] = ()
    #: State → how many of all of these; «unknown»: in no backlog.
    waits: Mapping[str, int] = {}
    #: Jobs of its class that go before it; None while it is in no class (it waits for others, or does not
    #: wait).
    ahead: int | None = None
    reservation: Reservation | None = None
    #: Cause → failed attempts so far.
    failures: Mapping[Cause, int] = {}
    #: Of a job that is done, or waits for a person's verdict: the body whose receipt counts, ATTEMPT.TOKEN or
    #: ATTEMPT.
    accepted: str = ""

    @property
    def is_shown(self) -> bool:
        """In review, and a person's verdict is waited for; else what is in review was set aside."""
        return self.state == "review" and bool(self.accepted)


class Started(Struct, frozen=True, kw_only=True):
    """An attempt that may begin: the line, and what was reserved for it."""

    line: bytes
    reservation: Reservation
    failures: Mapping[Cause, int]
    #: The class it was admitted as: its needs may be above those of the line.
    job_class: JobClass


class Preloaded(Struct, frozen=True, kw_only=True):
    """Word to the worker that runs attempt `of_attempt` of `predecessor`: where that ends well, this one's
    body may begin before the ledger is asked. It is no attempt yet, and holds nothing."""

    predecessor: str
    of_attempt: int
    job_id: str
    attempt: int
    #: None: it was preloaded before, and is not to begin any more.
    successor: Started | None


class RollCall(Struct, frozen=True):
    """Word to a worker: it is to say at once what it holds."""


class RenewalFacts(Exchanged, frozen=True, kw_only=True):
    """What a worker may tell of an attempt with each renewal of its lease: the members of the same names in
    `Reservation`."""

    usage: Usage | None = None
    progress: float | None = None
    note: str = ""
    quiet_s: float = 0.0
    frozen_since: float | None = None
    frozen_for: str = ""
    frozen_s: float = 0.0


class HeldReport(RenewalFacts, frozen=True, kw_only=True):
    """A worker's word that it holds an attempt, with what the attempt uses and how far it is, where that is
    known."""

    job_id: str
    attempt: int

    @property
    def is_telling(self) -> bool:
        is_or_was_frozen = bool(self.frozen_since or self.frozen_s)
        return is_or_was_frozen or bool(self.usage or self.progress is not None or self.note or self.quiet_s)


TOLD = RenewalFacts.__struct_fields__


def untold(reservation: Reservation) -> Reservation:
    """As it was before its worker told anything of it."""
    blank: dict[str, Any] = {"usage": None, "progress": None, "note": "", "quiet_s": 0.0}
    return replace(reservation, **blank, frozen_since=None, frozen_for="", frozen_s=0.0)


class Begun(Struct, frozen=True, kw_only=True):
    """A successor that was preloaded behind `predecessor`."""

    predecessor: str
    of_attempt: int
    job_id: str
    attempt: int


RenewAnswer = Literal["ok", "cancel", "gone", "unknown"]


class Renewed(Struct, frozen=True, kw_only=True):
    #: One for each that was named.
    answers: tuple[RenewAnswer, ...] = ()
    #: As of the ledger now.
    step: int = 0


AdoptAnswer = Literal["ok", "gone", "unknown"]
FinishAnswer = Literal["accepted", "already", "gone"]


class WorkerTurn(Struct, frozen=True, kw_only=True):
    """What a worker brings to the ledger between two of its jobs, and how much more it wants to begin."""

    worker: str
    queue: str
    lease_s: float
    #: Tells a turn that is asked for again, because its answer was lost, from the next one.
    number: str
    #: ok receipts, already durable.
    done: tuple[Receipt, ...] = ()
    #: (job id, attempt) started by this worker whose bodies never began.
    returned: tuple[tuple[str, int], ...] = ()
    #: (job id, attempt) of the entries it has taken from its queue and not started.
    in_hand: tuple[tuple[str, int], ...] = ()
    #: Behind a blocking take: what it has taken is what lies in its hand by then. Nothing: then nothing is
    #: started.
    is_from_hand: bool = False
    #: At most so many more of its queue, as long as they should be over within so many seconds.
    most: int = 0
    budget_s: float = 0.0
    #: Task → seconds that one takes here. Others are taken by an idle worker only, one at a time.
    task_durations: Mapping[str, float] = {}
    is_idle: bool = False
    #: What is news of them for the conductor; 0: it is none of the short ones any more.
    news: Mapping[str, float] = {}
    #: Successors that were preloaded: their bodies run, for what is in `done` ended well.
    begun: tuple[Begun, ...] = ()
    #: Successors that were preloaded, and will not begin as such.
    not_begun: tuple[Begun, ...] = ()
    #: The ledger's step as this worker heard of it last: one that has fewer has forgotten something.
    seen: int = 0


class Turned(Struct, frozen=True, kw_only=True):
    #: One for each of `done`.
    answers: tuple[FinishAnswer, ...] = ()
    started: tuple[Started, ...] = ()
    #: (job id, attempt) of entries whose turn it was not (any more).
    over: tuple[tuple[str, int], ...] = ()
    #: (job id, attempt) of those begun whose turn it is not. Then the turn did nothing else: what their
    #: predecessors hold covers them until their bodies have ended.
    refused: tuple[tuple[str, int], ...] = ()
    step: int = 0
    #: The ledger may have forgotten something, and hands nothing out: what is in hand stays there.
    is_closed: bool = False
