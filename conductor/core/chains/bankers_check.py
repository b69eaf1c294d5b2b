"""The banker's check of one node: if this job starts there, can all that was begun on the disk still finish.

Where another gate is closed the check would not be reached, and the hold would not name it; so it is asked
once more at the end of the tick, and a hold names everything that keeps the job back.
"""

from __future__ import annotations

from collections.abc import Iterable

from conductor.core.capacity.cluster import DiskFree, NodeFree
from conductor.core.capacity.request import Demand
from conductor.core.chains.begun_chains import Life
from conductor.core.chains.deadlock_reasons import crowding, dead_end, no_way_out
from conductor.core.chains.live_chain import LiveChain, Member
from conductor.model.decision import Verdict

#: Nodes on which a class that is held already is asked about once more.
MOST_ASKED = 8


class Safety:
    """Of one tick."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._dead_ends: dict[str, Verdict | None] = {}

    def denies(self, node: NodeFree, demand: Demand, member: Member | None) -> Verdict | None:
        """Why it must not start there although it fits; None: it may."""
        if member is not None:
            if member.bound_for and member.bound_for != node.name:
                return None  # It takes files away from here.
            return None if self._is_safe(member, node, demand) else no_way_out(member, node)
        root = self._crowded(node, demand)
        return crowding(node, root, dict(demand.disk)[root]) if root else None

    def also_denies(self, nodes: Iterable[NodeFree], demand: Demand, member: Member | None) -> Verdict | None:
        """For one that is held by other gates: would this keep it back everywhere, were those open?"""
        if not self._life or not (demand.disk or member):
            return None
        said: Verdict | None = None
        for i, node in enumerate(nodes):
            verdict = (
                None
                if i == MOST_ASKED or self._has_plenty(node, demand, member)
                else self.denies(node, demand, member)
            )
            if verdict is None:
                return None
            said = said or verdict
        return said

    def never(self, nodes: Iterable[NodeFree], member: Member) -> Verdict | None:
        """A disk that shrank, or a larger one that went: what was found to finish at dispatch never will."""
        chain = member.chain
        if chain.id not in self._dead_ends:
            own = [node for node in nodes if chain.node in (None, node.name)]
            self._dead_ends[chain.id] = dead_end(self._life, member, own)
        return self._dead_ends[chain.id]

    def wanted(self, nodes: Iterable[NodeFree], upcoming: Member | None) -> dict[str, int]:
        """«node1/scratch» → bytes that will be wanted there beyond what is free: by all that is left of the
        chains that were begun there, and by the whole of the next one, where it would find most room.

        What nobody needs any more is removed for it in one go, while others still run: asked job by job, each
        of a chain would wait for a removal of its own."""
        found: dict[str, int] = {}
        best: tuple[int, str] | None = None
        for node in nodes:
            for root in {chain.root for chain in self._life.chains.values()}:
                disk = node.disks.get(root)
                if disk is None or disk.pool is None:
                    continue
                sharing, where = _sharing(node, disk), f"{node.name}/{root}"
                begun = [c for c in self._life.chains.values() if c.node == node.name and c.root == root]
                limit, free = disk.pool.limit, max(0, disk.pool.free)
                asked = sum(_left(c, sharing) for c in begun)
                found[where] = _rounded(min(asked, limit) - free, limit)
                if upcoming is not None and upcoming.chain.root == root:
                    lack = _rounded(min(asked + _left(upcoming.chain, sharing), limit) - free, limit)
                    best = min((lack, where), best or (lack, where))
        if best is not None:
            found[best[1]] = best[0]
        return {where: lack for where, lack in found.items() if lack > 0}

    def _is_safe(self, member: Member, node: NodeFree, demand: Demand) -> bool:
        disk = node.disks.get(member.chain.root)
        if disk is None or disk.pool is None:
            return True  # it writes nothing there: the mount gate would have said no
        sharing = _sharing(node, disk)
        asked = sum(size for root, size in demand.disk if root in sharing)
        free = disk.pool.free - max(0, asked - member.takes(sharing))
        return self._life.is_safe(member, node.name, free, sharing)

    def _crowded(self, node: NodeFree, demand: Demand) -> str:
        """The root on which what it writes and leaves would keep begun chains from their end; empty: none."""
        if not self._life:
            return ""
        for root, size in demand.disk:
            disk = node.disks.get(root)
            if not size or disk is None or disk.pool is None:
                continue
            sharing = _sharing(node, disk)
            asked = sum(amount for other, amount in demand.disk if other in sharing)
            if not self._life.leaves_room(node.name, disk.pool.free - asked, sharing):
                return root
        return ""

    def _has_plenty(self, node: NodeFree, demand: Demand, member: Member | None) -> bool:
        """Room for all files of all begun chains and of its own, side by side: no order need be looked
        for.
        """
        asked = dict(demand.disk)
        for root in {*asked, *((member.chain.root,) if member else ())}:
            disk = node.disks.get(root)
            if disk is None or disk.pool is None:
                continue
            chains = [
                c for c in self._life.chains.values() if c.node == node.name or (member and c is member.chain)
            ]
            if disk.pool.free - asked.get(root, 0) < sum(
                m.written + m.temporary for c in chains for m in c.members.values()
            ):
                return False
        return True


def _left(chain: LiveChain, sharing: set[str]) -> int:
    """What those jobs of the chain that were not handed over yet will write there, and the temporary room
    that one of them needs while it runs."""
    rest = [m for m in chain.members.values() if not m.is_going]
    return sum(m.takes(sharing) for m in rest) + max((m.temporary for m in rest), default=0)


def _rounded(lack: int, limit: int) -> int:
    """Up to a 64th of the disk: what is measured moves all the time, and is no news each time."""
    step = max(1, limit // 64)
    return -(-lack // step) * step


def _sharing(node: NodeFree, disk: DiskFree) -> set[str]:
    """All roots on the file system of that disk."""
    return {root for root, other in node.disks.items() if other.pool is disk.pool}
