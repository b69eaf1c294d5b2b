"""Why a class stays: every gate asked at the end of the tick, and whether any node could ever take it.

Classes that agree in what a gate asks for share its answer, so that a thousand held classes cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from conductor.core.ask import Ask
from conductor.core.free import Free, NodeFree, QueueFree
from conductor.core.gates import CLASS_GATES, NODE_GATES, rate
from conductor.core.placement import asks_vram
from conductor.model.decision import GATES, Verdict
from conductor.model.spec import Lane

#: So many nodes are named one by one; of more, the few with most to give: the rest say the same, only worse.
MOST_NODES = 8
SHOWN_NODES = 3

_RANK = {gate: rank for rank, gate in enumerate(GATES)}


class Reasons:
    """Answers for one free state: ask it after the last admission."""

    def __init__(self, free: Free, kinds: dict[Lane, list[NodeFree]] | None = None) -> None:
        """`kinds` is filled, and may be handed in again while the nodes are the same."""
        self._free = free
        self._shown: dict[Lane, list[NodeFree]] = {}
        self._kinds: dict[Lane, list[NodeFree]] = {} if kinds is None else kinds
        self._answers: dict[Hashable, list[Verdict]] = {}
        self._whole: dict[Hashable, tuple[Verdict, ...]] = {}
        self._never: dict[Hashable, bool] = {}

    def verdicts(self, ask: Ask) -> tuple[Verdict, ...]:
        known = self._whole.get(ask.key)
        if known is None:
            known = self._whole[ask.key] = self._ask_all(ask)
        return known

    def _ask_all(self, ask: Ask) -> tuple[Verdict, ...]:
        nodes, found = self._nodes_shown(ask), list[Verdict]()
        for gate, part in CLASS_GATES:
            found += self._once((gate, ask.lane, part(ask)), lambda gate=gate: gate(ask, self._free))
        for gate, part in NODE_GATES:
            found += self._once(
                (gate, ask.lane, ask.node, part(ask)),
                lambda gate=gate: [v for n in nodes for v in gate(ask, n, self._free)],
            )
        return tuple(sorted(found, key=lambda verdict: _RANK[verdict.gate]))

    def _once(self, key: Hashable, answer: Callable[[], list[Verdict]]) -> list[Verdict]:
        known = self._answers.get(key)
        if known is None:
            known = self._answers[key] = answer()
        return known

    def _nodes_shown(self, ask: Ask) -> list[NodeFree]:
        """Of a job whose files lie on one node: that one."""
        if ask.node is None:
            return self._nodes_of(ask.lane)
        home = self._free.nodes.get(ask.node)
        return [] if home is None else [home]

    def _nodes_of(self, lane: Lane) -> list[NodeFree]:
        """Fresh nodes with workers of the lane, those with most to give first. Where there is none: what the stale
        ones said last, so that a report that comes back brings no new reason."""
        shown = self._shown.get(lane)
        if shown is None:
            able = [node for node in self._free.nodes.values() if node.queues.get(lane)]
            nodes = [node for node in able if not node.is_stale] or able
            if len(nodes) > MOST_NODES:
                nodes = sorted(nodes, key=lambda n: (n.is_draining, -n.vram_free_mib, -n.cpu.free, n.name))[
                    :SHOWN_NODES
                ]
            shown = self._shown[lane] = nodes
        return shown

    def is_infeasible(self, ask: Ask) -> bool:
        """No wait will ever open it: its budget is smaller than one call, or no live node is large enough."""
        known = self._never.get(ask.key)
        if known is None:
            known = self._never[ask.key] = self._cannot_ever(ask)
        return known

    def _cannot_ever(self, ask: Ask) -> bool:
        if any(verdict.is_never for verdict in rate(ask, self._free)):
            return True
        kinds = self._kinds_of(ask.lane)
        return bool(kinds) and not any(could_ever(node, ask) for node in kinds)

    def _kinds_of(self, lane: Lane) -> list[NodeFree]:
        """One node of each size: a thousand equal hosts are asked once."""
        kinds = self._kinds.get(lane)
        if kinds is None:
            by_size: dict[Hashable, NodeFree] = {}
            for node in self._free.nodes.values():
                if node.queues.get(lane) and not node.is_stale:
                    by_size.setdefault(_size(node, lane), node)
            kinds = self._kinds[lane] = list(by_size.values())
        return kinds


def could_ever(node: NodeFree, ask: Ask) -> bool:
    """Would it fit on this node if the node were empty and all of it healthy."""
    if ask.cpu_milli > node.cpu.limit or (node.ram is not None and ask.ram_mib > node.ram.limit):
        return False
    for root, size in ask.disk:
        disk = node.disks.get(root)
        if disk is None or (disk.pool is not None and size > disk.pool.limit):
            return False
    queues: list[QueueFree] = node.queues.get(ask.lane, [])
    if not all(asks_vram(queue, ask) for queue in queues):
        return True
    large = sum(device.vram.limit >= ask.vram_mib for device in node.devices.values())
    return large >= ask.devices or any(queue.missing for queue in queues)


def _size(node: NodeFree, lane: Lane) -> Hashable:
    return (
        node.cpu.limit,
        node.ram.limit if node.ram is not None else None,
        tuple(sorted((root, disk.pool.limit if disk.pool else -1) for root, disk in node.disks.items())),
        tuple(sorted(device.vram.limit for device in node.devices.values())),
        tuple((queue.device is not None, queue.missing) for queue in node.queues.get(lane, ())),
    )
