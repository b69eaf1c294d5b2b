"""The life of files on a disk: what a job's end gives back, and whether all that was begun can still finish.

A state is safe when some order is known in which all jobs of the begun chains finish, one at a time, on what
is free. «Does my output fit now?» leads into states where nothing fits any more; this looks before it leaps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from conductor.model.chains import Chain, FileJob

#: Of more jobs than this the best next one is not looked for among all, step by step.
MANY = 200
#: Of an order so much is kept from tick to tick.
MOST_KNOWN = 4096


class Member:
    """One job of a chain, with what it waits for and who waits for it."""

    __slots__ = (
        "after",
        "chain",
        "elsewhere",
        "id",
        "is_going",
        "kids",
        "reads",
        "stays",
        "tail_s",
        "temporary",
        "waits",
        "writes",
        "written",
    )

    def __init__(self, job: FileJob, chain: LiveChain) -> None:
        self.id = job.job_id
        self.chain = chain
        self.is_going = job.is_going
        self.reads = job.reads
        self.writes = job.writes
        self.stays = job.stays
        self.elsewhere = job.elsewhere
        self.temporary = job.temporary
        #: All that it leaves on the chain's disk, results among it.
        self.written = sum(job.writes.values()) + job.stays
        self.tail_s = job.tail_s
        self.waits = 0
        self.after = job.after
        self.kids: list[Member] = []

    def as_job(self) -> FileJob:
        return FileJob(
            job_id=self.id,
            is_going=self.is_going,
            writes=self.writes,
            reads=self.reads,
            after=tuple(other for other in self.after if other in self.chain.members),
            tail_s=self.tail_s,
            stays=self.stays,
            elsewhere=self.elsewhere,
            temporary=self.temporary,
        )

    def takes(self, sharing: Collection[str]) -> int:
        """What it leaves on the chain's disk, with the other roots that lie on it."""
        return self.written + sum(size for root, size in self.elsewhere.items() if root in sharing)


class LiveChain:
    """A chain in motion: its members that have not ended, its files that are on the disk or will be."""

    def __init__(self, chain: Chain) -> None:
        self.id = chain.id
        self.root = chain.root
        self.node = chain.node
        self.members = {job.job_id: Member(job, self) for job in chain.jobs}
        #: Bytes of every file that is or will be there, and how many of its readers have not ended.
        self.size: dict[str, int] = dict(chain.kept)
        self.left: dict[str, int] = {}
        for job in chain.jobs:
            self.size |= job.writes
            for path in job.reads:
                self.left[path] = self.left.get(path, 0) + 1
            for other in job.after:
                if (before := self.members.get(other)) is not None:
                    before.kids.append(self.members[job.job_id])
                    self.members[job.job_id].waits += 1

    def kept(self) -> dict[str, int]:
        """Files of jobs that have ended, with readers left."""
        coming = {path for member in self.members.values() for path in member.writes}
        return {path: size for path, size in self.size.items() if self.left.get(path) and path not in coming}

    def freed(self, member: Member, left: Mapping[str, int]) -> int:
        """Bytes that go when it ends: files of which it is the last reader, and its own that nobody reads."""
        gone = sum(self.size.get(path, 0) for path in member.reads if left[path] == 1)
        return gone + sum(size for path, size in member.writes.items() if not left.get(path))


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


class Life:
    """All chains that were begun or have a job at hand. Kept by one who tells it of every start and end."""

    def __init__(self, chains: Iterable[Chain] = (), order: Iterable[str] = ()) -> None:
        """`order`: ids in an order in which all that was begun is known to finish, from the tick before."""
        self.chains: dict[str, LiveChain] = {}
        self._of: dict[str, Member] = {}
        for chain in chains:
            self.add(chain)
        #: Node → the order that its last admission left; of nodes that are not named: `_order`.
        self._known: dict[str, list[Member]] = {}
        self._order = [member for job_id in order if (member := self._of.get(job_id)) is not None]
        self._found: tuple[str, list[Member]] | None = None

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, chain: Chain) -> None:
        live = self.chains[chain.id] = LiveChain(chain)
        self._of |= live.members

    def member(self, job_id: str) -> Member | None:
        return self._of.get(job_id)

    def net(self, member: Member) -> int:
        """Bytes that its end gives back, less those that it writes."""
        return member.chain.freed(member, member.chain.left) - member.written

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────

    def began(self, job_id: str, node: str) -> None:
        if (member := self._of.get(job_id)) is not None:
            member.is_going = True
            member.chain.node = node
            if self._found is not None and self._found[0] == node:
                self._known[node] = self._found[1]

    def ended(self, job_id: str) -> int:
        """How many bytes left the disk with it. What it wrote and others read stays."""
        member = self._of.pop(job_id, None)
        if member is None:
            return 0
        chain = member.chain
        gone = chain.freed(member, chain.left)
        del chain.members[job_id]
        for path in member.reads:
            chain.left[path] -= 1
        for kid in member.kids:
            kid.waits -= 1
        if not chain.members:
            del self.chains[chain.id]
        return gone

    def as_chains(self) -> tuple[Chain, ...]:
        """The same as values, for a snapshot."""
        return tuple(
            Chain(
                id=live.id,
                root=live.root,
                node=live.node,
                jobs=tuple(member.as_job() for member in live.members.values()),
                kept=live.kept(),
            )
            for live in self.chains.values()
        )

    # ── what may happen ───────────────────────────────────────────────────────────────────────────────────

    def is_safe(self, member: Member, node: str, free: int, sharing: Collection[str] = ()) -> bool:
        """With `free` bytes on the disk now: once it is admitted there, can all that was begun there still
        finish? `sharing`: all roots that lie on that disk; empty: the chain's own."""
        chain = member.chain
        roots = {chain.root, *sharing}
        begun = [c for c in self.chains.values() if c.root in roots and c is not chain and c.node == node]
        rehearsal = Rehearsal([*begun, chain], member, free, roots)
        order = rehearsal.finishing(self._known.get(node, self._order))
        if order is None and not begun:
            # With this one done a rule may miss what it finds from here; whoever comes first there has to be
            # let in.
            order = rehearsal.following(Rehearsal([chain], None, free, roots).finishing(()) or ())
        self._found = None if order is None else (node, order)
        return order is not None

    def leaves_room(self, node: str, free: int, sharing: Collection[str]) -> bool:
        """With `free` bytes left on the disk by a job of no chain: can all that was begun there still
        finish?
        """
        begun = [c for c in self.chains.values() if c.root in sharing and c.node == node]
        self._found = None
        if not begun:
            return True
        return Rehearsal(begun, None, free, sharing).finishing(self._known.get(node, self._order)) is not None

    def can_ever(self, member: Member, disk: int, sharing: Collection[str] = ()) -> bool:
        """On so many bytes, used by nobody else: can what is left of its chain finish? Where it is too long
        to try all orders, that its largest job fits says yes."""
        chain, roots = member.chain, {member.chain.root, *sharing}
        kept = chain.kept()
        if sum(m.takes(roots) + m.temporary for m in chain.members.values()) + sum(kept.values()) <= disk:
            return True
        if len(chain.members) > MANY:
            return max(m.takes(roots) + m.temporary for m in chain.members.values()) <= disk
        going = sum(m.takes(roots) + m.temporary for m in chain.members.values() if m.is_going)
        rehearsal = Rehearsal([chain], None, disk - sum(kept.values()) - going, roots)
        return rehearsal.finishing(self._known.get(chain.node or "", self._order)) is not None

    def order(self) -> tuple[str, ...]:
        """For the next tick: what was found to finish must be found again, and rules of thumb may miss it
        then.
        """
        members = [m for known in self._known.values() for m in known]
        named = set(self._known)
        members += [m for m in self._order if m.chain.node not in named]
        alive = [m for m in members if m.id in self._of and not m.is_going]
        alive.sort(key=lambda m: m.chain.node or "")
        return tuple(dict.fromkeys(m.id for m in alive))[:MOST_KNOWN]


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
