"""The order in which the classes of one backlog and priority are tried, by the rule that the limits name.

A key is a tuple; the smallest goes first. «auto» is two rules. Jobs that were dispatched at once are ordered
so that the whole of them ends soonest (the largest first); jobs that keep coming, so that the mean job ends
soonest (the shortest first), with those that have waited too long before all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from conductor.core.capacity.cluster import Free, NodeFree, Span
from conductor.core.capacity.in_flight import release_at
from conductor.core.capacity.resources import Steps, asked_in_all, held_in_all, steps_held, steps_of
from conductor.core.chains.begun_chains import Life
from conductor.core.ordering.trial_orders import MOST_ITEMS, MOST_NODES, Plan, best
from conductor.core.ordering.trial_play import Room, TrialJob, TrialRunning, TrialStage
from conductor.model.limits import Order
from conductor.model.snapshot import Candidate, Head, JobClass, Reservation

#: What was dispatched within so many seconds was there at once: the time that putting a long manifest takes.
AT_ONCE_S = 60.0
#: Too long a wait: this share of the longest that was seen, …
SHARE_OF_LONGEST = 0.8
#: … and this share of the time that all who wait and run would take one after the other, plus the job's own.
SHARE_OF_WORK = 0.75
#: While a job has waited for less than so many times the time in which all that waits and runs could be done,
#: its wait is what so much work brings, and no fault of the order (jobs do not fill what there is: twice).
TIMES_OF_WORK = 2.0
#: A job is overdue after so many times `waiting.overdue_s` at the latest, however much work there is.
MOST_TIMES_OVERDUE = 4.0

Key = tuple[float, ...]
OrderBy = Callable[[JobClass, Head], Key]


class Sizes:
    """How large a request is: the share of the whole that it takes of what it takes most of."""

    def __init__(self, free: Free) -> None:
        self._whole = free.whole

    def of_class(self, job_class: JobClass) -> float:
        return self._of(asked_in_all(job_class.needs))

    def of_reservation(self, r: Reservation) -> float:
        return self._of(held_in_all(r))

    def _of(self, amounts: Steps) -> float:
        return max(map(_share, amounts, self._whole))


def _share(amount: float, whole: float) -> float:
    return amount / whole if whole else 0.0


class Orders:
    """The rule in force for one tick."""

    def __init__(
        self,
        rule: Order,
        candidates: Sequence[Candidate],
        free: Free,
        life: Life,
        overdue_s: float | None = None,
    ) -> None:
        self._life = life
        self._free = free
        self._overdue_s = float("inf") if overdue_s is None else overdue_s
        self._candidates = candidates
        self._known_sizes: Sizes | None = None
        self._shares = free.shares
        self._patience: float | None = None
        self._ranks: dict[str, int] = {}
        self._plan: Plan | None = None
        self._longest: float | None = None
        self.rule: Order = _chosen(candidates, free.spans) if rule == "auto" else rule
        #: Asked for every head of every class.
        self.is_guarded = self.rule == "guarded"
        self.is_by_age = self.rule in ("oldest", "fifo")
        #: Of one dispatch nobody is older than another.
        self._has_overdue = not self.is_by_age and not (rule == "auto" and self.rule == "area")
        #: By work, and no job is of a chain.
        self._is_plain_area = self.rule == "area" and not life
        self._by: OrderBy = {
            "oldest": self._oldest,
            "fifo": self._oldest,
            "shortest": self._shortest,
            "guarded": self._shortest,
            "area": self._area,
            "auto": self._area,
            "largest": self._largest,
            "frees": self._frees,
            "critical": self._critical,
        }[self.rule]
        if self.is_guarded:
            self._rehearse()

    @property
    def has_chains(self) -> bool:
        return bool(self._life)

    def key(self, job_class: JobClass, head: Head) -> Key:
        if self._has_overdue and self._free.now - head.since > self._overdue_s and self._is_late(head):
            return (-1.0, head.since)
        if self._plan is not None:
            rank = self._ranks.get(head.job_id)
            return (1.0, job_class.duration_s, head.since) if rank is None else (0.0, rank)
        if self.is_guarded and self.is_overdue(job_class, head):
            return (0.0, head.since)
        if self._is_plain_area:
            return (1.0, 1.0, -job_class.duration_s * self._share_of(job_class), head.since)
        return (1.0, *self._by(job_class, head), head.since)

    def _sizes(self) -> Sizes:
        if self._known_sizes is None:
            self._known_sizes = Sizes(self._free)
        return self._known_sizes

    # ── the rules ─────────────────────────────────────────────────────────────────────────────────────────

    def _oldest(self, job_class: JobClass, head: Head) -> Key:
        return ()

    def _shortest(self, job_class: JobClass, head: Head) -> Key:
        return (job_class.duration_s,)

    def _area(self, job_class: JobClass, head: Head) -> Key:
        """The largest work first. In a chain, the work is that of the longest path behind the job; a job that
        gives back at least the disk that it takes goes before all others."""
        member = self._life.member(head.job_id)
        if member is None:
            return (1.0, -job_class.duration_s * self._share_of(job_class))
        return (float(self._life.net(member) < 0), -member.tail_s * self._share_of(job_class))

    def _largest(self, job_class: JobClass, head: Head) -> Key:
        return (-self._share_of(job_class),)

    def _frees(self, job_class: JobClass, head: Head) -> Key:
        member = self._life.member(head.job_id)
        return (0.0 if member is None else -self._life.net(member),)

    def _critical(self, job_class: JobClass, head: Head) -> Key:
        member = self._life.member(head.job_id)
        return (-job_class.duration_s if member is None else -member.tail_s,)

    def _share_of(self, job_class: JobClass) -> float:
        known = self._shares.get(job_class.id)
        if known is None or known[0] is not job_class:
            known = self._shares[job_class.id] = (job_class, self._sizes().of_class(job_class))
        return known[1]

    # ── orders tried out ──────────────────────────────────────────────────────────────────────────────────

    def _rehearse(self) -> None:
        """Choose the order by playing it through, where what waits and runs is little enough for that."""
        nodes = [node for node in self._free.nodes.values() if node.is_open]
        is_whole = all(c.waiting == len(c.heads) for c in self._candidates)
        count = sum([len(c.heads) for c in self._candidates])
        if not is_whole or not 1 < count <= MOST_ITEMS or len(nodes) > MOST_NODES:
            return
        items = [_item(c.job_class, head) for c in self._candidates for head in c.heads]
        if any(item.duration_s <= 0 for item in items):
            return
        room = _room(nodes)
        if not any(_fits(item, room) for item in items):
            return
        whole = _whole(nodes)
        able = [item for item in items if _fits(item, whole)]
        stage = TrialStage(able, room, list(_running(nodes, self._free)), self._free.now)
        self._plan = best(stage, self._free.snapshot.longest_wait_s)
        self._ranks = {item.id: rank for rank, item in enumerate(self._plan.order)}

    # ── who has waited too long ───────────────────────────────────────────────────────────────────────────

    def overdue_after_s(self) -> float | None:
        """Who has waited for longer goes before all others of its backlog and priority, by the work that
        there is now. None: nobody does."""
        if not self._has_overdue or self._overdue_s == float("inf"):
            return None
        most_s = MOST_TIMES_OVERDUE * self._overdue_s
        return max(self._overdue_s, min(most_s, TIMES_OF_WORK * self._work_s()))

    def _is_late(self, head: Head) -> bool:
        after_s = self.overdue_after_s()
        return after_s is not None and self._free.now - head.since > after_s

    def slack_s(self, keep_after_s: float | None) -> float:
        """For how long, beyond `keep_after_s`, being passed over is the normal state: twice the work, and no
        longer than until a job is overdue."""
        if keep_after_s is None:
            return 0.0
        return max(0.0, min(TIMES_OF_WORK * self._work_s(), self._overdue_s) - keep_after_s)

    def is_overdue(self, job_class: JobClass, head: Head) -> bool:
        if not self.is_guarded:
            return False
        if self._plan is not None:
            return self._plan.reserved is not None and self._plan.reserved.id == head.job_id
        waited = self._free.now - head.since
        return waited > SHARE_OF_LONGEST * self._longest_s() and waited > (
            SHARE_OF_WORK * self._work_s() + job_class.duration_s
        )

    def _longest_s(self) -> float:
        if self._longest is None:
            since = min(
                (head.since for c in self._candidates for head in c.heads[:1]), default=self._free.now
            )
            self._longest = max(self._free.snapshot.longest_wait_s, self._free.now - since)
        return self._longest

    def _work_s(self) -> float:
        """How long all that waits and runs would take if the whole were always full. What a pause keeps back
        explains nobody's wait, for nothing of it starts before a person says so."""
        if self._patience is None:
            controls = self._free.snapshot.controls
            waiting = sum(
                c.waiting * c.job_class.duration_s * self._share_of(c.job_class)
                for c in self._candidates
                if c.job_class.backlog not in controls.paused_backlogs
                and c.job_class.lane not in controls.paused_lanes
            )
            running = self._free.work_s(self._sizes().of_reservation)
            self._patience = waiting + running
        return self._patience


def _chosen(candidates: Sequence[Candidate], spans: dict[str, Span]) -> Order:
    """Durations that nobody knows order nothing: then the oldest goes first."""
    found = [_span(c, spans) for c in candidates if c.heads]
    took_s = (
        max([last for _, _, last in found]) - min([first for _, first, _ in found]) if found else float("inf")
    )
    if not any(c.job_class.duration_s for c in candidates):
        return "oldest" if took_s > AT_ONCE_S else "area"
    return "area" if took_s <= AT_ONCE_S else "guarded"


def _span(candidate: Candidate, spans: dict[str, Span]) -> Span:
    """From the eldest of its heads to the youngest; the same heads are asked once."""
    known = spans.get(candidate.job_class.id)
    if known is None or known[0] is not candidate.heads:
        since = [head.since for head in candidate.heads]
        known = spans[candidate.job_class.id] = (candidate.heads, min(since), max(since))
    return known


def _item(job_class: JobClass, head: Head) -> TrialJob:
    n = job_class.needs
    devices = n.devices if n.vram_mib else 0
    return TrialJob(head.job_id, head.since, job_class.duration_s, steps_of(n), devices, n.vram_mib)


def _room(nodes: Sequence[NodeFree]) -> list[Room]:
    return [
        Room(node.own_free(), tuple([d.vram.free for d in node.devices.values() if d.why_not is None]))
        for node in nodes
    ]


def _whole(nodes: Sequence[NodeFree]) -> list[Room]:
    """As if nothing were held."""
    return [
        Room(node.own_limits(), tuple([d.vram.limit for d in node.devices.values() if d.why_not is None]))
        for node in nodes
    ]


def _fits(item: TrialJob, room: Sequence[Room]) -> bool:
    return any(node.devices_for(item) is not None for node in room)


def _running(nodes: Sequence[NodeFree], free: Free) -> Iterator[TrialRunning]:
    """What runs and gave an estimate; what gave none is not counted on to end."""
    for at, node in enumerate(nodes):
        number = {key: i for i, key in enumerate(k for k, d in node.devices.items() if d.why_not is None)}
        for r in free.reservations.by_end(node.name):
            if r.expected_s > 0:
                devices = tuple(number[key] for key in r.devices if key in number)
                yield TrialRunning(release_at(r, free.now), at, devices, steps_held(r), r.vram_mib)


def blocks(rule: Order) -> bool:
    """Does the first that does not fit keep all others back."""
    return rule == "fifo"
