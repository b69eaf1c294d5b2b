"""An order in which what is left of some chains finishes, one job at a time, on what is free of a disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from heapq import heappop, heappush

from conductor.core.chains.live_chain import LiveChain, Member
from conductor.model.chains import Chain

#: Of more jobs than this the best next one is not looked for among all, step by step.
MANY = 200

#: Which job to try first when an order is looked for: (chain, member, bytes freed, how lately it became
#: ready).
Rule = Callable[[Member, int, int], tuple[float, ...]]


def _frees_most(member: Member, freed: int, late: int) -> tuple[float, ...]:
    return (member.written - freed, -late)


def _latest(member: Member, freed: int, late: int) -> tuple[float, ...]:
    return (-late, member.written - freed)


def _cheapest(member: Member, freed: int, late: int) -> tuple[float, ...]:
    """Those that give back at least what they write, the smallest first; then the latest."""
    net = freed - member.written
    return (0, member.written, -net) if net >= 0 else (1, -late, 0)


def _nearest_end(member: Member, freed: int, late: int) -> tuple[float, ...]:
    return (member.tail_s, -late)


RULES: tuple[Rule, ...] = (_frees_most, _latest, _cheapest, _nearest_end)


class Rehearsal:
    """What is left of some chains, played to the end: first all that is going, then one job at a time."""

    def __init__(
        self, chains: list[LiveChain], extra: Member | None, free: int, sharing: Collection[str] = ()
    ) -> None:
        self.chains = chains
        self.free = free
        self.takes = {m: m.takes(sharing) for chain in chains for m in chain.members.values()}
        self.left = {id(chain): dict(chain.left) for chain in chains}
        self.waits: dict[Member, int] = {m: m.waits for chain in chains for m in chain.members.values()}
        self.extra = extra
        if extra is not None:
            self.free -= self.takes[extra]
        for chain in chains:
            for member in chain.members.values():
                if member.is_going or member is extra:
                    self._end(member)
                    # What it holds beyond its files it gives back; of the extra one that was not taken.
                    self.free += member.temporary if member.is_going else 0
        self.rest = [m for m in self.waits if not m.is_going and m is not extra]

    def finishing(self, known: Sequence[Member]) -> list[Member] | None:
        """An order in which the rest finishes: the one known from before, or by a rule."""
        if (order := self.following(known)) is not None:
            return order
        return next((order for rule in RULES if (order := self.order_by(rule)) is not None), None)

    def following(self, before: Sequence[Member]) -> list[Member] | None:
        """Those that it does not name come first: they ran when it was found, and gave back what they
        held.
        """
        if not before:
            return None
        rest = set(self.rest)
        named = [member for member in before if member in rest]
        order = named if len(named) == len(rest) else [*(m for m in self.rest if m not in set(named)), *named]
        return order if self._play(order) else None

    def _play(self, order: list[Member]) -> bool:
        free, left = self.free, {key: dict(counts) for key, counts in self.left.items()}
        waits = dict(self.waits)
        for member in order:
            if waits[member]:
                return False
            for kid in member.kids:
                waits[kid] -= 1
            if self.takes[member] + member.temporary > free:
                return False
            mine = left[id(member.chain)]
            free += member.chain.freed(member, mine) - self.takes[member]
            for path in member.reads:
                mine[path] -= 1
        return True

    def _end(self, member: Member) -> None:
        left = self.left[id(member.chain)]
        self.free += member.chain.freed(member, left)
        for path in member.reads:
            left[path] -= 1
        for kid in member.kids:
            self.waits[kid] -= 1

    def order_by(self, rule: Rule) -> list[Member] | None:
        """The rest in an order that fits, by one rule; None where the rule gets stuck."""
        before = self.free, self.left, self.waits
        self.left = {key: dict(counts) for key, counts in self.left.items()}
        self.waits = dict(self.waits)
        try:
            return self._greedily(rule) if len(self.rest) <= MANY else self._quickly(rule)
        finally:
            self.free, self.left, self.waits = before

    def _quickly(self, rule: Rule) -> list[Member] | None:
        """Of very many: each is ranked once, when it becomes ready; those that do not fit wait until more
        is free.
        """
        late, order = 0, list[Member]()
        heap: list[tuple[tuple[float, ...], int, Member]] = []
        aside: list[tuple[tuple[float, ...], int, Member]] = []
        ready = [m for m in self.rest if self.waits[m] == 0]
        while ready or heap:
            for member in ready:
                freed = member.chain.freed(member, self.left[id(member.chain)])
                heappush(heap, (rule(member, freed, late), late, member))
                late += 1
            ready = []
            item = heappop(heap)
            member = item[2]
            if self.takes[member] + member.temporary > self.free:
                aside.append(item)
                continue
            order.append(member)
            before = self.free
            self.free -= self.takes[member]
            self._end(member)
            ready = [k for k in member.kids if self.waits[k] == 0 and not k.is_going and k is not self.extra]
            if self.free > before or not heap:
                for other in aside:
                    heappush(heap, other)
                aside = []
        return order if len(order) == len(self.rest) else None

    def _greedily(self, rule: Rule) -> list[Member] | None:
        ready = {m: i for i, m in enumerate(m for m in self.rest if self.waits[m] == 0)}
        late, order = len(ready), list[Member]()
        while ready:
            best: tuple[tuple[float, ...], int, Member] | None = None
            for member, since in ready.items():
                if self.takes[member] + member.temporary <= self.free:
                    freed = member.chain.freed(member, self.left[id(member.chain)])
                    key = (rule(member, freed, since), since, member)
                    if best is None or key[:2] < best[:2]:
                        best = key
            if best is None:
                return None
            member = best[2]
            del ready[member]
            order.append(member)
            self.free -= self.takes[member]
            self._end(member)
            for kid in member.kids:
                if self.waits[kid] == 0 and not kid.is_going and kid is not self.extra:
                    ready[kid] = late
                    late += 1
        return order if len(order) == len(self.rest) else None


# ── at plan time ──────────────────────────────────────────────────────────────────────────────────────────


def least_disk(chain: Chain, sharing: Collection[str] = ()) -> int:
    """The smallest disk, in bytes, on which an order is known that finishes the whole chain one job at a
    time. `sharing`: other roots on that disk."""
    members = LiveChain(chain).members.values()
    low = largest_job(chain)
    high = sum(m.takes(sharing) for m in members) + sum(chain.kept.values())
    high += max((m.temporary for m in members), default=0)
    known = high
    while low <= high:
        middle = (low + high) // 2
        if can_finish(chain, middle, sharing):
            known, high = middle, middle - 1
        else:
            low = middle + 1
    return known


def can_finish(chain: Chain, disk: int, sharing: Collection[str] = ()) -> bool:
    rehearsal = Rehearsal([LiveChain(chain)], None, disk, sharing)
    return any(rehearsal.order_by(rule) is not None for rule in RULES)


def largest_job(chain: Chain) -> int:
    """What the largest single job's outputs and intermediate inputs take: below that nothing can work."""
    size = {path: bytes_ for job in chain.jobs for path, bytes_ in job.writes.items()} | chain.kept
    return max(
        (
            sum(job.writes.values())
            + job.stays
            + job.temporary
            + sum(size.get(path, 0) for path in job.reads)
            for job in chain.jobs
        ),
        default=0,
    )
