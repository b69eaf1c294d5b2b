"""Whose turn it is: priority first (with age), then the backlog that has used least by its weight, then the
key of the rule in force. Before all of them: one that was passed over for too long.

`Turns` hands out one class at a time, with one of its heads, and is told what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush

from conductor.core.capacity.cluster import Free
from conductor.core.ordering.fair_share import Shares
from conductor.core.ordering.orders import Key, Orders
from conductor.model.decision import Admission
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Head, JobClass

#: (level, what its backlog has used, key of its first class, that class).
GroupKey = tuple[int, float, Key, str]


class ClassTurn:
    """A class with waiting jobs, and how many of its heads were admitted in this tick. `level` and `key`: of
    the head whose turn it is.
    """

    __slots__ = ("admitted", "candidate", "heads", "job_class", "key", "level")

    def __init__(self, candidate: Candidate, orders: Orders) -> None:
        self.candidate = candidate
        self.job_class = candidate.job_class
        self.admitted = 0
        self.level = 0
        self.key: Key = ()
        #: The next one is the last. They differ by more than age only where they belong to chains.
        self.heads = list(candidate.heads[::-1])
        if orders.has_chains and len(self.heads) > 1:
            self.heads.sort(key=lambda head: orders.key(candidate.job_class, head), reverse=True)

    @property
    def head(self) -> Head | None:
        return self.heads[-1] if self.heads else None


class Ages:
    """Priorities with age: the level of a job, 0 for the highest that waits."""

    __slots__ = ("_at", "_now", "_step_s")

    def __init__(self, candidates: Sequence[Candidate], now: float, step_s: float | None) -> None:
        ranked = sorted({c.job_class.priority for c in candidates}, reverse=True)
        self._at = {priority: level for level, priority in enumerate(ranked)}
        self._now = now
        self._step_s = step_s

    def level(self, priority: int, head: Head) -> int:
        level = self._at[priority]
        if level == 0 or self._step_s is None:
            return level
        return max(0, level - int((self._now - head.since) / self._step_s))

    def top_from(self, priority: int, head: Head) -> float | None:
        """When it counts as of the highest priority that waits; None where that never happens."""
        level = self._at[priority]
        if level == 0:
            return head.since
        return None if self._step_s is None else head.since + level * self._step_s


class Group:
    """The classes of one backlog and level, the smallest key in front."""

    __slots__ = ("backlog", "heap", "level", "queued")

    def __init__(self, level: int, backlog: str) -> None:
        self.level = level
        self.backlog = backlog
        self.heap: list[tuple[Key, str, ClassTurn]] = []
        #: The key it waits by among the groups; None: it does not.
        self.queued: GroupKey | None = None


class Turns:
    """The classes in order. A class whose head was admitted, or passed over, goes back in with its next
    one.
    """

    def __init__(self, candidates: Sequence[Candidate], free: Free, orders: Orders, limits: Limits) -> None:
        self._orders = orders
        self._now = free.now
        self.shares = Shares(candidates, free, limits)
        self.ages = Ages(candidates, free.now, limits.aging_s)
        self._groups: dict[tuple[int, str], Group] = {}
        self._heap: list[tuple[GroupKey, int, Group]] = []
        self._count = 0
        self._current: Group | None = None
        self._due: list[tuple[float, str, ClassTurn]] = []
        passed_over, keep_after_s = free.snapshot.passed_over, limits.keep_after_s
        for candidate in candidates:
            turn = ClassTurn(candidate, orders)
            if (head := turn.head) is None:
                continue
            since = passed_over.get(head.job_id) if passed_over else None
            group = self._group(turn, head)
            if since is not None and keep_after_s is not None and free.now - since >= keep_after_s:
                self._due.append((since, head.job_id, turn))
            else:
                group.heap.append((turn.key, turn.job_class.id, turn))
        self._due.sort(key=lambda due: due[:2], reverse=True)
        for group in self._groups.values():
            if group.heap:
                heapify(group.heap)
                self._queue(group)

    def _group(self, turn: ClassTurn, head: Head) -> Group:
        """Where it waits by that head."""
        turn.level = self.ages.level(turn.job_class.priority, head)
        turn.key = self._orders.key(turn.job_class, head)
        at = (turn.level, turn.job_class.backlog)
        group = self._groups.get(at)
        if group is None:
            group = self._groups[at] = Group(*at)
        return group

    def _put(self, turn: ClassTurn, head: Head) -> None:
        group = self._group(turn, head)
        heappush(group.heap, (turn.key, turn.job_class.id, turn))
        self._queue(group)

    def _queue(self, group: Group) -> None:
        """One entry a group counts, the one with the key it was queued by last; others are passed over."""
        key = self._key(group)
        if group.queued is None or key < group.queued:
            group.queued = key
            self._count += 1
            heappush(self._heap, (key, self._count, group))

    def _key(self, group: Group) -> GroupKey:
        key, class_id, _ = group.heap[0]
        return (group.level, self.shares.of(group.backlog), key, class_id)

    def first_from(self, job_class: JobClass, head: Head) -> float | None:
        """When it goes before all others of its backlog, if no more work comes; None: it does now, or age
        does not bring it there.
        """
        top = self.ages.top_from(job_class.priority, head)
        if top is None:
            return None
        if (overdue_after_s := self._orders.overdue_after_s()) is not None:
            top = max(top, head.since + overdue_after_s)
        return top if top > self._now else None

    @property
    def is_chosen_anew(self) -> bool:
        """Orders are played through on what is free: once more is, another one may win."""
        return self._orders.is_guarded

    def next_due(self) -> ClassTurn | None:
        """Those that were passed over for too long, the longest first; before `next`."""
        return self._due.pop()[2] if self._due else None

    def next(self) -> ClassTurn | None:
        """Call it when no due one is to be tried any more: the rest of them takes its turn like the
        others.
        """
        while (due := self.next_due()) is not None:
            if due.head is not None:
                self._put(due, due.head)
        group = self._current
        if group is not None and group.heap:
            if group.queued is None and (not self._heap or self._key(group) < self._heap[0][0]):
                return heappop(group.heap)[2]  # put in, it would be the first to come out
            self._queue(group)
        while self._heap:
            key, _, group = heappop(self._heap)
            if group.queued != key:
                continue
            group.queued = None
            # It only grows while its group is queued: the backlog was served at another level.
            if self._key(group) != key:
                self._queue(group)
                continue
            self._current = group
            return heappop(group.heap)[2]
        return None

    def admitted(self, turn: ClassTurn, admission: Admission) -> None:
        """Call it for the turn that was given last, before the next one."""
        self.shares.admitted(admission.reservation, admission.rates)
        turn.admitted += 1
        self.passed_over(turn)

    def passed_over(self, turn: ClassTurn, may_do: Callable[[Head], bool] | None = None) -> None:
        """This head is done with for now, another of its class may do."""
        turn.heads.pop()
        while (head := turn.head) is not None and may_do is not None and not may_do(head):
            turn.heads.pop()
        if head is not None:
            self._put(turn, head)
