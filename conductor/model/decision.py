"""Decision: what one tick will do, and for every class that is held, what each gate answered and why."""

from __future__ import annotations

from typing import Literal, get_args

from conductor.model.chains import FileMove
from conductor.model.reason import CROWDED_OUT, NEVER, NO_DETAIL, Detail, Reason
from conductor.model.report import CounterReading
from conductor.model.snapshot import BacklogUse, RateState, Reservation
from conductor.model.spec import Exchanged, ResourceName, Value

Gate = Literal["lane", "vram", "scratch", ResourceName, "counter", "rate", "after", "mount", "hold", "report"]
GATES: tuple[Gate, ...] = (
    "report",
    "hold",
    "after",
    "mount",
    "lane",
    "vram",
    "scratch",
    *get_args(ResourceName),
    "counter",
    "rate",
)


class Verdict(Exchanged, frozen=True, kw_only=True):
    """One gate's answer about one place, with its numbers. A refusal is data: words are made of it
    elsewhere.
    """

    gate: Gate
    #: As its reason is one of `PASSING`, or not.
    passed: bool
    reason: Reason
    #: Where it was asked: "node1/gpu0", "node1/scratch", a rate key, a lane. Empty: everywhere.
    where: str = ""
    need: float = 0.0
    #: What is free for this request.
    have: float = 0.0
    #: What there is in all (capacity less headroom, depth, requests per minute).
    limit: float = 0.0
    unit: str = ""
    #: Ids of the jobs that hold it, the earliest release first.
    holders: tuple[str, ...] = ()
    #: Earliest moment at which this gate could open; None where nobody can say.
    reopens_at: float | None = None
    detail: Detail = NO_DETAIL

    @property
    def is_never(self) -> bool:
        """No wait will ever open it here (the device is too small)."""
        return self.reason in NEVER

    @property
    def is_crowded(self) -> bool:
        """No job of ours that ends opens it: only others can."""
        return self.reason is CROWDED_OUT

    @property
    def is_broken(self) -> bool:
        """Whoever would run it dies at each start: it may be over, and no wait that anybody knows of will
        do it.
        """
        return self.reason is Reason.WORKERS_DYING

    @property
    def is_refused(self) -> bool:
        """Its API refuses everybody (key, money, model): it may be tried again, and only a person can
        help.
        """
        return self.reason is Reason.ENDPOINT_REFUSES

    @property
    def margin(self) -> float:
        """What would be left once it is in; negative: what is missing."""
        return self.have - self.need


class Admission(Value, frozen=True, kw_only=True):
    """A job to hand over now, and what it will hold."""

    reservation: Reservation
    backlog: str
    #: Charge key (`conductor.core.capacity.charges`) → what the sum of reservations may reach; the hand-over
    #: re-checks it in the same atomic step.
    ceilings: dict[str, int] = {}
    #: Rate key → (requests, tokens) to take from its budget.
    rates: dict[str, tuple[int, int]] = {}


class Successor(Value, frozen=True, kw_only=True):
    """The job that goes next where a running attempt ends well. Until then it waits and holds nothing. The
    step that ends the attempt hands it over, if all that the tick saw still holds. The next tick names it
    again or takes it back."""

    predecessor: str
    attempt: int
    admission: Admission


class StandingOffer(Value, frozen=True, kw_only=True):
    """Where the next job of a class starts, if it comes before anything else changes. Its reservation names
    no job: whichever comes takes it."""

    class_id: str
    admission: Admission


class Front(Exchanged, frozen=True, kw_only=True):
    """Jobs that wait too, come before this one, and would take a part of what it needs."""

    #: The first of them.
    job_id: str
    #: At least so many: of a class of its own priority only the first is counted.
    jobs: int
    #: Of these, of higher priority (with age).
    higher: int = 0


class Hold(Exchanged, frozen=True, kw_only=True):
    """A class that stays, with every gate that said no (and those that said yes, for `explain`)."""

    class_id: str
    backlog: str
    task: str
    lane: str
    waiting: int
    verdicts: tuple[Verdict, ...]
    is_infeasible: bool = False
    #: Since when no node could run it, even with nothing of ours there, for what others use; None: one could.
    crowded_since: float | None = None
    #: What is asked instead of what was declared, and why.
    learned: tuple[str, ...] = ()
    #: When this class was first held for the present set of gates.
    since: float = 0.0
    #: Its first job that stays: what the answers below are about.
    head: str = ""
    #: Who goes before `head`; None: once the gates below are open, it goes.
    front: Front | None = None
    #: Who may go before `head` once the gates below are open, though nobody does as things are: what ends
    #: gives back its backlog's share, or the order is chosen anew then. None: `front` says all.
    contenders: Front | None = None
    #: Gate → since when it has been closed to this class without a break.
    closed_since: dict[Gate, float] = {}
    #: Gate → seconds that it has held this class back so far; gates that are closed together count each.
    lost_s: dict[Gate, float] = {}
    #: From then on it goes before all others of its backlog, whatever the order and their priority, if no
    #: more work comes meanwhile; None: it does now.
    first_from: float | None = None
    #: Since when it counts that jobs which come after `head` in order are started while there is no room for
    #: it: later than now where so much work waits that a long wait is the normal state.
    passed_over_since: float | None = None
    #: From then on a place is kept free for `head`, against everybody.
    reserved_from: float | None = None
    #: «node1/gpu0», while a place is kept.
    reserved_at: str = ""
    #: It starts no later than about then, if what runs keeps to its estimates; None: nobody can say.
    starts_by: float | None = None

    @property
    def closed(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if not v.passed)


class Decision(Value, frozen=True, kw_only=True):
    now: float
    admit: tuple[Admission, ...] = ()
    hold: tuple[Hold, ...] = ()
    #: At most one for each running attempt.
    successors: tuple[Successor, ...] = ()
    #: Of classes of which one more job is expected. One of them at most is ever taken.
    offers: tuple[StandingOffer, ...] = ()
    #: Kinds whose waiting jobs go to `review`: they failed alike, and so did all that tried since.
    review: tuple[str, ...] = ()
    #: Jobs of begun chains in an order in which all of them are known to finish: for the next snapshot.
    order: tuple[str, ...] = ()
    #: «node1/scratch» → bytes that begun chains, and the next one in order, will want there beyond what is
    #: free.
    wanted: dict[str, int] = {}
    #: Files that are to go to another node, since their chains cannot go on where they lie.
    moves: tuple[FileMove, ...] = ()
    #: Backlog → what it has used, with the admissions of this tick: for the next snapshot.
    used: dict[str, BacklogUse] = {}
    #: Look again no later than this many seconds from `now`.
    next_tick_s: float = 1.0


class Shared(Exchanged, frozen=True, kw_only=True):
    """One amount that is shared out (a device's VRAM, a node's RAM or cores, a disk), after the tick's
    admissions.
    """

    where: str
    gate: Gate
    unit: str
    #: Capacity less headroom.
    limit: float
    reserved: float
    #: Measured as used beyond what the reservations are known to have taken.
    others: float
    free: float


class GateLedger(Exchanged, frozen=True, kw_only=True):
    """What a tick left behind, as it is recorded: the one source of `explain`, `status`, the logs and the
    metrics.
    """

    #: The tick's `now`.
    at: float = 0.0
    holds: tuple[Hold, ...] = ()
    #: Backlog → gate → seconds during which it held at least one class back, since the ledger began.
    lost_s: dict[str, dict[Gate, float]] = {}
    shared: tuple[Shared, ...] = ()
    rates: tuple[RateState, ...] = ()
    #: Counter that has a command → what that said; of one that is counted by the node: «node1/NAME».
    counters: dict[str, CounterReading] = {}
    #: Node → when its report was sent.
    reports: dict[str, float] = {}
    #: As `Decision.wanted` and `Decision.used`.
    wanted: dict[str, int] = {}
    used: dict[str, BacklogUse] = {}

    @property
    def passed_over(self) -> dict[str, float]:
        """Job → since when it is passed over: what the next tick goes on from."""
        return {h.head: h.passed_over_since for h in self.holds if h.passed_over_since is not None}
