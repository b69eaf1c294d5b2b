"""All chains that were begun: what a job's end gives back, and whether all that was begun can still finish.

A state is safe when some order is known in which all jobs of the begun chains finish, one at a time, on what
is free. «Does my output fit now?» leads into states where nothing fits any more; this looks before it leaps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from conductor.core.chains.feasible_order import MANY, Rehearsal
from conductor.core.chains.live_chain import LiveChain, Member
from conductor.model.chains import Chain

#: Of an order so much is kept from tick to tick.
MOST_KNOWN = 4096


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
        """The bytes that the end of the job gives back, less the bytes that it writes."""
        return member.chain.freed(member, member.chain.left) - member.written

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────

    def began(self, job_id: str, node: str) -> None:
        if (member := self._of.get(job_id)) is not None:
            member.is_going = True
            if member.bound_for:
                member.chain.coming = member.bound_for
            else:
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
        if member.bound_for:
            chain.movers.remove(member)
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
                away=live.away,
                away_bytes=live.away_bytes,
                failed_transfers=live.failed_transfers,
            )
            for live in self.chains.values()
        )

    # ── what may happen ───────────────────────────────────────────────────────────────────────────────────

    def is_safe(self, member: Member, node: str, free: int, sharing: Collection[str] = ()) -> bool:
        """With `free` bytes on the disk now: once it is admitted there, can all that was begun there still
        finish? `sharing`: all roots that lie on that disk; empty: the chain's own."""
        chain = member.chain
        roots = {chain.root, *sharing}
        begun = [
            c for c in self.chains.values() if c.root in roots and c is not chain and c.is_begun_on(node)
        ]
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
        begun = [c for c in self.chains.values() if c.root in sharing and c.is_begun_on(node)]
        self._found = None
        if not begun:
            return True
        return Rehearsal(begun, None, free, sharing).finishing(self._known.get(node, self._order)) is not None

    def can_ever(self, member: Member, disk: int, sharing: Collection[str] = ()) -> bool:
        """Could the rest of its chain finish on a disk of so many bytes that nobody else uses? Where the rest
        is too long to try all orders, it is enough that its largest job fits."""
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
