"""Snapshot: everything the decision may look at, at one instant. `now` is Redis time in epoch seconds."""

from __future__ import annotations

from typing import Literal

from conductor.model.calls import EndpointFault
from conductor.model.causes import Cause
from conductor.model.chains import Chain, RecentWrite
from conductor.model.job_class import JobClass
from conductor.model.receipt import Usage
from conductor.model.report import CounterReading, NodeReport
from conductor.model.spec import Exchanged, Lane, Value

ActiveState = Literal["admitted", "running"]
Role = Literal["", "canary", "probe", "canary_by_eye"]


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


class Lookahead(Value, frozen=True, kw_only=True):
    """How much of the backlog a tick reads: so many heads of each class, and more of those it takes many
    from.
    """

    heads: int = 16
    #: Class id → heads, where it is another number.
    of: dict[str, int] = {}
    #: Empty: all.
    backlogs: tuple[str, ...] = ()


class Reservation(Exchanged, frozen=True, kw_only=True):
    """What one admitted or running attempt holds. Made in the step that hands it over, released when it
    ends.
    """

    job_id: str
    attempt: int
    class_id: str
    task: str
    #: Empty in reservations of an earlier version.
    backlog: str = ""
    node: str
    queue: str
    lane: Lane
    #: Keys of the devices it was placed on; empty for a job without VRAM.
    devices: tuple[str, ...] = ()
    #: Of each of them, in that order: what CUDA knows it by. It runs on these cards or not at all. Empty: not
    #: told.
    uuids: tuple[str, ...] = ()
    #: Per device.
    vram_mib: int = 0
    ram_mib: int = 0
    cpu: float = 0.0
    #: Root → bytes.
    disk: dict[str, int] = {}
    #: Charge key → amount, of what is counted by name (`core.capacity.counters`).
    held: dict[str, int] = {}
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
    #: Since when its body stands still (epoch seconds, by its host's clock), and the clause why; None: it
    #: goes on.
    frozen_since: float | None = None
    frozen_for: str = ""
    #: For so long it stood still before.
    frozen_s: float = 0.0
    #: Over job, attempt, queue and line, where a key is configured (`conductor.base.signing`).
    signature: str = ""
    #: Of its class, and the code that its node says it has for the task («» where it says none).
    kind: str = ""
    code: str = ""
    #: Its outputs are checked before they count: one of the first of its kind, or a try whether a breaker may
    #: close.
    role: Role = ""
    #: So many failures alike close its kind; 0: none do.
    breaker: int = 0
    #: When it was dispatched, and gate → seconds of its own wait for which that was closed (gates that were
    #: closed together count each). 0 and nothing in what the decision itself makes:
    #: `core.admission.gate_waits` adds it.
    since: float = 0.0
    waited_for: dict[str, float] = {}


class RateState(Exchanged, frozen=True, kw_only=True):
    """One API's budget at this instant. None: that budget has no known limit."""

    key: str
    requests_left: int | None = None
    requests_limit: int | None = None
    tokens_left: int | None = None
    tokens_limit: int | None = None
    #: When the window gives room again.
    resets_at: float | None = None
    tokens_reset_at: float | None = None
    #: A 429, or another trouble of its endpoint, closed it until then.
    closed_until: float | None = None
    #: What is known against its endpoint; None: it is well.
    endpoint_fault: EndpointFault | None = None
    #: Attempts that were handed over, and have not told what came of their calls.
    going: int = 0
    #: The limits were learned from 429s or told by the server, not configured.
    is_learned: bool = False
    #: USD of the last 24 hours, less what is under way; when the oldest hour of it is forgotten.
    usd_left: float | None = None
    usd_limit: float | None = None
    usd_reset_at: float | None = None
    #: What calls cost lately; 0: not known.
    usd_per_token: float = 0.0
    usd_per_call: float = 0.0


class KindState(Exchanged, frozen=True, kw_only=True):
    """What became of the jobs of one kind under one version of their code, as far as it holds others back."""

    kind: str
    version: str = ""
    #: Canaries and probes that ended well.
    verified: int = 0
    #: Most failures alike with no success in between; when the first of all came, and the last.
    failed: int = 0
    since: float = 0.0
    last_at: float = 0.0
    cause: Cause | None = None
    message: str = ""
    #: When the breaker opened, and how many tries to close it have failed since.
    opened_at: float | None = None
    probes: int = 0
    #: What waited when the tries were used up lies in `review`, all of it.
    is_reviewed: bool = False
    #: Of its first ones, so many were made and wait for a person's word.
    shown: int = 0


def cost_of(usd_per_token: float, usd_per_call: float, requests: int, tokens: int) -> float:
    """What an attempt is thought to cost: by its tokens, where it does not say any by its calls."""
    return tokens * usd_per_token if tokens else requests * usd_per_call


class Controls(Exchanged, frozen=True, kw_only=True):
    """What the operator said."""

    paused_lanes: tuple[Lane, ...] = ()
    is_draining: bool = False
    draining_nodes: tuple[str, ...] = ()
    #: «NODE/gpu0»: nothing is placed there.
    paused_devices: tuple[str, ...] = ()
    #: Nothing of these is started.
    paused_backlogs: tuple[str, ...] = ()
    #: Why the conductor itself starts nothing (a ledger that was emptied); empty: it does.
    hold: str = ""


class BacklogUse(Exchanged, frozen=True, kw_only=True):
    """What a backlog has used, in seconds of the whole (half of it for ten seconds: five)."""

    #: Up to `at`, of attempts that ended and of those that run; beyond what the least served of those that
    #: competed had used.
    used_s: float = 0.0
    at: float = 0.0
    #: The part of the whole that it has held since.
    share: float = 0.0


class UsualKind(Value, frozen=True, kw_only=True):
    """One sort of request, and how much it counts where the place rule asks what is usual here."""

    #: Resource of a node → steps of it, as `core.capacity.resources` counts them.
    own: dict[str, int]
    devices: int
    vram_mib: int
    weight: float


class Snapshot(Value, frozen=True, kw_only=True):
    now: float
    nodes: tuple[NodeReport, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    #: Queue → jobs handed over and not yet started.
    queued: dict[str, int] = {}
    #: Queue → how deep it may be now, where its jobs are so short that `Limits.depth` would starve its
    #: workers.
    deep: dict[str, int] = {}
    rates: tuple[RateState, ...] = ()
    #: Counter of the whole cluster that has a command → what that said, as of `now`.
    counters: dict[str, CounterReading] = {}
    controls: Controls = Controls()
    #: What jobs of the backlog read of each other: the chains that were begun, and those of the heads.
    chains: tuple[Chain, ...] = ()
    #: Jobs of begun chains in an order in which all of them are known to finish, from the tick before.
    order: tuple[str, ...] = ()
    #: What came onto the disks lately: readings older than that do not have it yet.
    written: tuple[RecentWrite, ...] = ()
    #: The longest that any job has waited so far: what is usual here, and so what is too long.
    longest_wait_s: float = 0.0
    #: Of every kind that has canaries or failed lately.
    kinds: tuple[KindState, ...] = ()
    #: Backlog → jobs in review.
    in_review: dict[str, int] = {}
    #: Job → since when jobs that come after it have been started while there was no room for it.
    passed_over: dict[str, float] = {}
    #: Backlog → what it has used, as the tick before left it; those not named: nothing.
    used: dict[str, BacklogUse] = {}
    #: Lane or backlog that is outside its hours → when they begin again.
    outside_hours: dict[str, float] = {}
    #: Classes of which one more job may come.
    expected: tuple[JobClass, ...] = ()
    #: What was usual so far, from a conductor that remembers it; empty: what waits and runs now is.
    usual: tuple[UsualKind, ...] = ()
