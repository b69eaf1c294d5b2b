"""Whose jobs others get: of nodes that were handed something and report no more."""

from __future__ import annotations

from conductor.model.snapshot import Snapshot


class SilentNodes:
    """What the leader remembers of them from tick to tick."""

    def __init__(self) -> None:
        #: Node → since when, by the ledger's clock.
        self._since: dict[str, float] = {}

    def gone(self, seen: Snapshot, wait_s: float) -> frozenset[str]:
        """Those that have been missing for `wait_s` since they were missed first: after a Redis that was away
        all are, until they report again.
        """
        there = {node.node for node in seen.nodes}
        missed = {r.node for r in seen.reservations if r.state == "admitted"} - there
        self._since = {node: self._since.get(node, seen.now) for node in missed}
        return frozenset(node for node, since in self._since.items() if seen.now - since >= wait_s)
