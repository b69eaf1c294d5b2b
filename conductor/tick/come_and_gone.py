"""What is news of gates and nodes between two ticks: a gate that no longer holds anything, a node that came
or went.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conductor.base.logs.events import emit_event
from conductor.base.text import duration
from conductor.model.report import NodeReport

#: A gate that closes again within this time was not open.
OPEN_FOR_S = 2.0


class ClosedGate(NamedTuple):
    gate: str
    lane: str
    task: str


class GateOpenings:
    """Which gates held which tasks, as it was told; a gate that has held nothing for a moment is open."""

    def __init__(self) -> None:
        #: Since when, and when it held something last.
        self._closed: dict[ClosedGate, tuple[float, float]] = {}

    def holds(self, gate: str, lane: str, task: str, now: float) -> None:
        key = ClosedGate(gate, lane, task)
        known = self._closed.get(key)
        self._closed[key] = (now if known is None else known[0], now)

    def look(self, now: float) -> None:
        """After all that is held now was named."""
        opened = [key for key, (_, last) in self._closed.items() if now - last > OPEN_FOR_S]
        for key in opened:
            since, last = self._closed.pop(key)
            emit_event("gate.opened", "{gate} holds {task} no more, after {}", duration(last - since),
                       gate=key.gate, lane=key.lane, task=key.task, seconds=last - since)  # fmt: skip


class NodesSeen:
    """The nodes of the tick before."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeReport] | None = None

    def look(self, nodes: Sequence[NodeReport]) -> None:
        known, now = self._nodes, {node.node: node for node in nodes}
        self._nodes = now
        if known is None or known.keys() == now.keys():
            return
        for name in now.keys() - known.keys():
            emit_event("node.seen", "Node {node} reports", node=name)
        for name in known.keys() - now.keys():
            if known[name].is_draining:
                emit_event("node.left", "Node {node} has left", node=name)
            else:
                emit_event("node.lost", "Node {node} is gone without a word: its report has run out",
                           node=name)  # fmt: skip
