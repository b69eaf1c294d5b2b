"""Makes room on this node's disks, when it is wanted: files that nobody needs any more go, the first ones
first.

Until then they stay: a job that comes tomorrow and reads one finds it. Room is wanted where a disk has less
free than its threshold, and where the gate ledger says that jobs are held for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from conductor.base.files import paths
from conductor.base.files.layout import Layout
from conductor.base.logs.events import emit_event
from conductor.base.settings.sections import Root
from conductor.base.text import many
from conductor.model.decision import GateLedger, Verdict
from conductor.model.report import Volume
from conductor.node.cleanup.file_removal import finish, is_mounted
from conductor.ports import Ledger

#: Where no gate says how much is missing, this part of what can be had goes at a time.
PART = 8


class DiskRoom:
    """One per node. Remembers when it made room last, so that it does not answer the same gate twice."""

    def __init__(self, layout: Layout, ledger: Ledger, node: str) -> None:
        self._layout = layout
        self._ledger = ledger
        self._node = node
        self._roots = sorted(layout.ephemeral_roots())
        #: On these nothing goes but what transfers left.
        self._others = sorted(layout.roots.keys() - layout.ephemeral_roots())
        #: Root → by the ledger's clock.
        self._made_at: dict[str, float] = {}

    def make(self, volumes: Sequence[Volume], now: float) -> bool:
        """Was anything removed. `now`: epoch seconds by this host. Raises `Unreachable`, `OSError`."""
        removed = finish(self._layout, self._ledger, self._node, now)
        removable = self._ledger.files.removable(self._node, [*self._roots, *self._others])
        for root in self._others:
            if there := removable.pop(root, 0):
                # A copy that has arrived is wanted by nobody: it need not wait until its room is.
                self._ledger.files.begin_removal(self._node, root, there)
                removed += finish(self._layout, self._ledger, self._node, now)
        if removable:
            gates = self._ledger.gate_record.gates()
            for root, there in removable.items():
                removed += self._make(root, there, volumes, gates, now)
        if removed:
            emit_event("files.removed", "Made room: {} that nobody needs any more", many(removed, "file"),
                       files=removed)  # fmt: skip
        return removed > 0

    def _make(self, root: str, there: int, volumes: Sequence[Volume], gates: GateLedger, now: float) -> int:
        free = self._free(root)
        if free is None:
            return 0
        sharing = roots_beside(root, volumes)
        total = next((volume.total_bytes for volume in volumes if volume.root == root), None)
        lack = self._layout.roots[root].room(total) - free
        # A gate that was asked before the last room was made knows nothing of it.
        if gates.reports.get(self._node, 0.0) > self._made_at.get(root, 0.0):
            lack = max(lack, wanted(gates, self._node, sharing, free, there, self._layout.roots))
        removed = 0
        while lack > 0:
            facts = self._ledger.files.begin_removal(self._node, root, lack)
            taken = sum(fact.bytes for fact in facts)
            removed += finish(self._layout, self._ledger, self._node, now)
            lack -= taken
            self._made_at |= dict.fromkeys(sharing, self._ledger.bell.now())
            if not taken or self._ledger.files.begin_removal(self._node):
                break  # nothing is left, or something cannot be removed now
        return removed

    def _free(self, root: str) -> int | None:
        """As it is at this moment: the report's reading is older than what was removed since."""
        if not is_mounted(self._layout, f"{root}:x"):
            return None
        with suppress(OSError):
            facts = os.statvfs(paths.root_folder(self._layout, root))
            return facts.f_bavail * facts.f_frsize
        return None


def roots_beside(root: str, volumes: Iterable[Volume]) -> frozenset[str]:
    """All roots on the same file system."""
    mark = next((volume.filesystem for volume in volumes if volume.root == root), None)
    return frozenset({root, *(v.root for v in volumes if mark is not None and v.filesystem == mark)})


def wanted(
    gates: GateLedger, node: str, sharing: frozenset[str], free: int, there: int, roots: Mapping[str, Root]
) -> int:
    """Bytes that are wanted on that disk: what the job that is held lacks most of it, or all that begun
    chains and the next one will want, whichever is more."""
    headroom = max((roots[root].headroom_bytes for root in sharing if root in roots), default=0)
    places = {f"{node}/{root}" for root in sharing}
    closed = [v for hold in gates.holds for v in hold.closed if v.gate == "scratch" and v.where in places]
    ahead = max((gates.wanted.get(place, 0) for place in places), default=0)
    return max((ahead, *(_lack(v, free - headroom, there) for v in closed if not v.is_never)))


def _lack(verdict: Verdict, room: int, there: int) -> int:
    lack = int(max(verdict.need - verdict.have, verdict.need - room))
    # It fits by itself, but then what was begun could not all end: nobody has counted how much would do.
    return lack if lack > 0 else max(int(verdict.need), there // PART, 1)
