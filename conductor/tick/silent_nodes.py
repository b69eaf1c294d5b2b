"""Whose jobs others get: of nodes that were handed something and report no more."""

from __future__ import annotations

from conductor.model.snapshot import Snapshot


class SilentNodes:
    """What the leader remembers of them from tick to tick."""

    def __init__(self) -> None:
        self._epoch = 0
        #: Those that reported in this epoch.
        self._heard: set[str] = set()
        #: Node → missed since when, by the ledger's clock.
        self._since: dict[str, float] = {}

    def gone(self, seen: Snapshot, epoch: int, wait_s: float) -> frozenset[str]:
        """Those whose report has run out since they were heard in this epoch. A new epoch begins with a new
        leader, and with a Redis that was away, where all are missed until they report again: those not heard
        yet have `wait_s` for that since they were missed first.
        """
        there = {node.node for node in seen.nodes}
        if epoch != self._epoch:
            self._epoch, self._heard = epoch, set()
        self._heard |= there
        missed = {r.node for r in seen.reservations if r.state == "admitted"} - there
        self._since = {node: self._since.get(node, seen.now) for node in missed}
        return frozenset(
            node for node, at in self._since.items() if node in self._heard or seen.now - at >= wait_s
        )
