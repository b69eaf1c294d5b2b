"""Which jobs are ahead of a waiting job: those that come before it, may start, and would take a part of what
it needs.

A gate names the jobs that hold what another job lacks. Once such a holder ends, its room goes to the job that
comes first; so a hold names the jobs ahead as well, or its reason would be true and of no use. The order is
that of the next tick: a backlog that this tick served then goes behind the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from conductor.core.capacity.request import Demand
from conductor.core.chains.live_chain import Member
from conductor.core.ordering.orders import Key
from conductor.core.ordering.turns import ClassTurn, Turns
from conductor.model.decision import Front, Verdict
from conductor.model.reason import OF_KINDS, OF_ONE_PLACE, OF_TASKS, Reason
from conductor.model.snapshot import Head, JobClass


class HeldClass(NamedTuple):
    """A class that stays: its turn, and the request of its first head that does."""

    turn: ClassTurn
    head: Head
    demand: Demand
    #: By which that head waited for its turn, beside what its backlog has used.
    level: int
    key: Key
    #: Of a chain.
    member: Member | None
    #: What keeps it beyond the gates. None: it lacks something.
    denied: Verdict | None
    #: All that closes it whatever is free: its lane, its hours, its task, its kind.
    closed: frozenset[str] = frozenset()
    #: The same, and what closes some places to it: once its own gates are open, these are for others too.
    opens: frozenset[str] = frozenset()
    #: Was it tried before all others, as one that was passed over for too long, and was nothing kept for it.
    was_tried_in_vain: bool = False

    @property
    def waiting(self) -> int:
        return self.turn.candidate.waiting - self.turn.admitted


def closer_of(verdict: Verdict, job_class: JobClass) -> str:
    """What has to open for all that share it: the lane or backlog, the task, the kind; "" of a place."""
    reason = verdict.reason
    if reason in OF_TASKS:
        return verdict.detail.task
    if reason in OF_KINDS:
        return job_class.kind
    if reason is Reason.REVIEW_DEBT:
        return f"review of {job_class.backlog}"
    return "" if reason in OF_ONE_PLACE else verdict.where


def of_next_tick(
    held: Sequence[HeldClass],
    turns: Turns,
    passed_over: Mapping[str, float],
    keep_after_s: float | None,
    now: float,
) -> list[HeldClass]:
    """`held` stands in the order of this tick, and comes out in that of the next, if nothing but the
    admissions of this one happens until then."""
    shares = {backlog: turns.shares.of(backlog) for backlog in {one.turn.job_class.backlog for one in held}}
    keyed = [
        ((one.level, shares[one.turn.job_class.backlog], one.key, one.turn.job_class.id), one) for one in held
    ]
    keyed.sort(key=itemgetter(0))
    following = [one for _, one in keyed]
    if not passed_over or keep_after_s is None:
        return following
    due = [one for one in following if now - passed_over.get(one.head.job_id, now) >= keep_after_s]
    due.sort(key=lambda one: (passed_over[one.head.job_id], one.head.job_id))
    # As in the tick itself up to the first that something is kept for; the rest take their turn like others.
    ends = (at for at, one in enumerate(due, start=1) if one.denied is None and not one.was_tried_in_vain)
    last = next(ends, len(due))
    first = due[:last]
    return [*first, *(one for one in following if one not in first)]


class Alike(NamedTuple):
    """Classes that ask for parts of the same: where the first of them stands, its job, level → (jobs,
    classes).
    """

    place: int
    first: str
    levels: dict[int, tuple[int, int]]


class Fronts:
    """Fed with the held classes in the order of their turns in the next tick."""

    __slots__ = ("_by_bits", "_count")

    def __init__(self) -> None:
        #: What is asked for, as bits, and what else closes them → all of these.
        self._by_bits: dict[tuple[int, frozenset[str]], Alike] = {}
        self._count = 0

    def before(self, bits: int, level: int, closed: frozenset[str] = frozenset()) -> Front | None:
        """The job before one that asks for `bits` at that level (0: the highest); None: there is none.
        `closed`: gates that keep the job back whatever is free. A job that another gate keeps back as well is
        ahead of nobody."""
        higher = beside = 0
        first: Alike | None = None
        for (asked, by), alike in self._by_bits.items():
            if not asked & bits or not by <= closed:
                continue
            if first is None or alike.place < first.place:
                first = alike
            for at, (jobs, classes) in alike.levels.items():
                if at < level:
                    higher += jobs
                else:
                    beside += classes
        return None if first is None else Front(job_id=first.first, jobs=higher + beside, higher=higher)

    def add(
        self, bits: int, level: int, job_id: str, jobs: int, closed: frozenset[str] = frozenset()
    ) -> None:
        """`jobs` of one class, `job_id` their first."""
        self._count += 1
        alike = self._by_bits.get((bits, closed))
        if alike is None:
            alike = self._by_bits[bits, closed] = Alike(self._count, job_id, {})
        known, classes = alike.levels.get(level, (0, 0))
        alike.levels[level] = (known + jobs, classes + 1)
