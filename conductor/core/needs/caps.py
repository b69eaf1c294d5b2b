"""Cuts learned and raised needs to what there is, so that no measurement makes a job wait for what cannot
come. Pure.

A job that could run as declared can run as learned, or after a failure taught it to ask for more: on the node
that could give it most, asking no more than that node has when nothing of ours runs there. What others hold
there counts only while nothing of ours does, for then no waiting helps: the job gets the place to itself.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from conductor.core.capacity.cluster import DeviceFree, Free, NodeFree, Pool
from conductor.core.capacity.request import SCRATCH_ROOT
from conductor.core.needs.learned_amounts import BY_NAME, LEARNED
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs, RateNeed


def within(declared: JobClass, learned: Needs, free: Free) -> Needs:
    """`learned`, cut where no node could ever give it. Where none could give what is declared: the declared
    needs.

    What failures raised is no declaration: it is cut like the rest."""
    if declared.planned is not None:
        declared = msgspec.structs.replace(declared, needs=declared.planned)
    nodes = [node for node in free.nodes.values() if declared.lane in node.queues]
    able = [(node.is_open, cut) for node in nodes if (cut := _on(node, declared, learned)) is not None]
    if not able:
        return declared.needs
    # One that others have filled while nothing of ours runs there would be waited for in vain.
    found = [cut.needs for is_open, cut in able if is_open and cut.has_room]
    found = found or [cut.needs for is_open, cut in able if is_open] or [cut.needs for _, cut in able]
    most = max(found, key=lambda needs: [getattr(needs, row.name) for row in LEARNED])
    return msgspec.structs.replace(most, rates=_rates(declared.needs, learned, free))


def _rates(declared: Needs, learned: Needs, free: Free) -> dict[str, RateNeed]:
    """Tokens, cut to what the API gives in a minute."""
    found = dict(learned.rates)
    for key, need in learned.rates.items():
        limit = free.rates[key].state.tokens_limit if key in free.rates else None
        if limit is not None and need.tokens > limit:
            found[key] = msgspec.structs.replace(need, tokens=max(limit, declared.rates[key].tokens))
    return found


class _Cut(NamedTuple):
    """`has_room`: what is declared fits into what others leave."""

    needs: Needs
    has_room: bool


def _on(node: NodeFree, declared: JobClass, learned: Needs) -> _Cut | None:
    """What it would ask on this node; None where it could not even run as declared."""
    asks, changes, has_room = declared.needs, dict[str, int](), True
    devices = _devices(node, declared)
    if (asks.vram_mib or learned.vram_mib) and devices:
        able = [device.vram for device in devices if device.vram.limit >= asks.vram_mib]
        if len(able) < asks.devices:
            return None
        room = sorted((pool.left_by_others() for pool in able), reverse=True)[asks.devices - 1]
        has_room = room >= asks.vram_mib
        # Where all is held by others, one that is to be alone waits for them; zero would ask nothing.
        changes["vram_mib"] = _cut(asks.vram_mib, learned.vram_mib, max(1, room))
    elif learned.vram_mib > asks.vram_mib:
        changes["vram_mib"] = asks.vram_mib  # it runs on the CPU here
    for row, pool in node.known:
        if row.charge in BY_NAME:
            own: int = getattr(asks, row.charge)
            if own > pool.limit:
                return None
            has_room = has_room and pool.left_by_others() >= own
            changes[row.charge] = _cut(own, getattr(learned, row.charge), pool.left_by_others())
    disk = node.disks.get(SCRATCH_ROOT)
    if disk is not None and disk.pool is not None:
        outputs = sum(size for root, size in declared.writes.items() if _pool(node, root) is disk.pool)
        if asks.scratch_bytes + outputs > disk.pool.limit:
            return None
        room = disk.pool.left_by_others() - outputs
        has_room = has_room and room >= asks.scratch_bytes
        changes["scratch_bytes"] = _cut(asks.scratch_bytes, learned.scratch_bytes, room)
    return _Cut(msgspec.structs.replace(learned, **changes), has_room)


def _devices(node: NodeFree, declared: JobClass) -> list[DeviceFree]:
    """Those that its lane's workers here could use; of several at once, any of the node's."""
    queues = node.queues[declared.lane]
    if declared.lane == "gpu" and (
        declared.needs.devices == 1 or all(queue.device is None for queue in queues)
    ):
        found = [queue.device for queue in queues if queue.device is not None]
    else:
        found = [d for d in node.devices.values() if declared.needs.devices == 1 or not d.is_slice]
    return [device for device in found if device.why_not is None]


def _pool(node: NodeFree, root: str) -> Pool | None:
    disk = node.disks.get(root)
    return disk.pool if disk is not None else None


def _cut(asked: int, learned: int, room: int) -> int:
    return learned if learned <= asked else max(asked, min(learned, room))
