"""The verdicts on a chain that fits and may not begin, and on a chain that no disk can hold to its end any
more. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from conductor.core.capacity.cluster import NodeFree
from conductor.core.chains.begun_chains import Life
from conductor.core.chains.live_chain import Member
from conductor.model.decision import Verdict
from conductor.model.reason import Reason


def no_way_out(member: Member, node: NodeFree) -> Verdict:
    disk = node.disks[member.chain.root]
    return Verdict(
        gate="scratch",
        passed=False,
        reason=Reason.CHAIN_UNSAFE,
        where=f"{node.name}/{member.chain.root}",
        need=member.written,
        have=max(0, disk.pool.free) if disk.pool else 0,
        limit=disk.pool.limit if disk.pool else 0,
        unit="bytes",
    )


def dead_end(life: Life, member: Member, nodes: Iterable[NodeFree]) -> Verdict | None:
    """None: it can finish on one of them, or nobody can say."""
    root, best = member.chain.root, None
    for node in nodes:
        disk = node.disks.get(root)
        if disk is None or disk.pool is None:
            return None
        sharing = {other for other, its in node.disks.items() if its.pool is disk.pool}
        if life.can_ever(member, disk.pool.limit, sharing):
            return None
        if best is None or disk.pool.limit > best.limit:
            best = Verdict(
                gate="scratch",
                passed=False,
                reason=Reason.CHAIN_TOO_LARGE,
                where=f"{node.name}/{root}",
                need=member.takes(sharing),
                have=max(0, disk.pool.free),
                limit=disk.pool.limit,
                unit="bytes",
            )
    return best


def crowding(node: NodeFree, root: str, need: int) -> Verdict:
    pool = node.disks[root].pool
    return Verdict(
        gate="scratch",
        passed=False,
        reason=Reason.CHAINS_CROWDED,
        where=f"{node.name}/{root}",
        need=need,
        have=max(0, pool.free) if pool else 0,
        limit=pool.limit if pool else 0,
        unit="bytes",
    )
