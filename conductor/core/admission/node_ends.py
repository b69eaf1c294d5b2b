"""Nodes that end at a known time (pilots): nothing is placed there that would not be over by then. Pure.

A job of which nobody knows how long it takes is taken; where it is not over in time, it goes back to the
backlog.
"""

from __future__ import annotations

from collections.abc import Iterable

from conductor.core.capacity.cluster import NodeFree
from conductor.model.decision import Verdict
from conductor.model.reason import Reason


class NodeEnds:
    """For one tick."""

    def __init__(self, nodes: Iterable[NodeFree], now: float) -> None:
        self._left_s = {
            node.name: max(0.0, node.report.ends_at - now)
            for node in nodes
            if node.report.ends_at is not None
        }

    def __bool__(self) -> bool:
        return bool(self._left_s)

    def denies(self, node: str, duration_s: float) -> Verdict | None:
        left_s = self._left_s.get(node)
        return None if left_s is None or left_s > duration_s else _no(node, duration_s, left_s)

    def closings(self, duration_s: float) -> list[Verdict]:
        """All nodes that end too soon for it."""
        return [
            _no(node, duration_s, left_s) for node, left_s in self._left_s.items() if left_s <= duration_s
        ]


def _no(node: str, duration_s: float, left_s: float) -> Verdict:
    return Verdict(
        gate="hold",
        passed=False,
        reason=Reason.NODE_ENDS,
        where=node,
        need=duration_s,
        have=left_s,
        unit="s",
    )
