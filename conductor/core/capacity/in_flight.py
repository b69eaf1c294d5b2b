"""What is admitted and not over yet, as a decision asks for it: by node, by name, by who should end
first. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from operator import attrgetter, is_not
from typing import NamedTuple

from conductor.core.capacity.resources import NODE, Steps
from conductor.model.snapshot import Reservation

INFINITY = float("inf")
#: In the place of a node, of who holds what is counted over the whole cluster.
EVERYWHERE = ""
NOTHING_HELD: Steps = (0,) * (1 + len(NODE))
_JOB_ID = attrgetter("job_id")
#: All that the sums go by. Most of what changes of a reservation is none of it: it starts, it tells its use.
_SUMMED = attrgetter("node", "backlog", "class_id", "lane", "devices", "vram_mib", "ram_mib", "cpu", "held")


def release_at(reservation: Reservation, now: float) -> float:
    """When it should end by its own estimate; infinity where it gave none, or stands still. Overdue means:
    any moment now."""
    if reservation.expected_s <= 0 or reservation.frozen_since is not None:
        return INFINITY
    return max(now, (reservation.started_at or now) + reservation.expected_s + reservation.frozen_s)


class Holding(NamedTuple):
    """Who holds how much of one thing, the one expected to end first in front; their ids, and when each
    should end.
    """

    rows: list[tuple[Reservation, int]]
    ids: tuple[str, ...]
    ends: list[float]

    def enough_at(self, missing: int) -> float | None:
        """When enough of it should be given back, by the holders' own estimates; None: nobody can say."""
        for (_, amount), at in zip(self.rows, self.ends, strict=True):
            if at == INFINITY:
                return None
            missing -= amount
            if missing <= 0:
                return at
        return None


class Reservations:
    """All of them. What was worked out of a node is kept until one comes or goes there."""

    def __init__(self, all_of_them: Iterable[Reservation], now: float) -> None:
        self._now = now
        #: Charge key → how many, of what is counted by name.
        self._counted: dict[str, int] = {}
        self._known: dict[str, Reservation] = {}
        self._on_node: dict[str, dict[str, Reservation]] = {}
        self._sorted: dict[str, list[Reservation]] = {}
        self._holding: dict[str, dict[str, Holding]] = {}
        #: Node → when the last that began there should end, and how long the longest takes that did not begin
        #: yet.
        self._last: dict[str, tuple[float, float]] = {}
        self._read(all_of_them)

    def _read(self, all_of_them: Iterable[Reservation]) -> None:
        """As nothing is known yet: tens of thousands where a lead begins."""
        on_node, known = self._on_node, self._known
        for r in all_of_them:
            job_id, name = r.job_id, r.node
            here = on_node.get(name)
            if here is None:
                here = on_node[name] = {}
            here[job_id] = r
            if r.held and job_id not in known:
                self._count(r, 1)
            known[job_id] = r

    # ── what comes and goes ───────────────────────────────────────────────────────────────────────────────

    def renew(self, now: float) -> None:
        """What is overdue ends now, whenever now is."""
        self._now = now
        self._sorted.clear()
        self._holding.clear()

    def add(self, r: Reservation) -> None:
        """One more, or one that is known and holds the same, brought up to date."""
        self._changed_on(r.node)
        self._on_node.setdefault(r.node, {})[r.job_id] = r
        if r.job_id not in self._known:
            self._count(r, 1)
        self._known[r.job_id] = r

    def drop(self, r: Reservation) -> Reservation:
        """The one of that job: it is over."""
        known = self._known.pop(r.job_id)
        self._changed_on(known.node)
        del self._on_node[known.node][known.job_id]
        self._count(known, -1)
        return known

    def _changed_on(self, node: str) -> None:
        self._holding.pop(EVERYWHERE, None)
        self._last.pop(node, None)
        self._sorted.pop(node, None)
        self._holding.pop(node, None)

    def _count(self, r: Reservation, sign: int) -> None:
        for key, amount in r.held.items():
            self._counted[key] = self._counted.get(key, 0) + sign * amount

    def changes(self, later: Iterable[Reservation]) -> tuple[list[Reservation], list[Reservation]]:
        """(over, or replaced by one that holds otherwise; new or replaced) if these are all there are now."""
        later = tuple(later)
        there, known = dict(zip(map(_JOB_ID, later), later, strict=True)), self._known
        over = [known[job_id] for job_id in known.keys() - there.keys()]
        new: list[Reservation] = []
        # Most are the very same objects: asked of all of them at once, without a loop.
        was_of, now_of = list(map(known.get, there)), list(there.values())
        for r in compress(now_of, map(is_not, was_of, now_of)):
            was = known.get(r.job_id)
            if was == r:
                continue
            if was is not None and _SUMMED(was) != _SUMMED(r):
                over.append(was)
            new.append(r)
        return over, new

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[Reservation]:
        for here in self._on_node.values():
            yield from here.values()

    def of(self, job_ids: Iterable[str]) -> list[Reservation]:
        return [r for job_id in job_ids if (r := self._known.get(job_id)) is not None]

    def on(self, node: str) -> Iterable[Reservation]:
        return self._on_node.get(node, {}).values()

    def held(self, key: str) -> int:
        """Under that charge key, of what is counted by name."""
        return self._counted.get(key, 0)

    def by_end(self, node: str) -> list[Reservation]:
        """Those on a node, the one expected to end first in front."""
        known = self._sorted.get(node)
        if known is None:
            known = self._sorted[node] = sorted(
                self.on(node), key=lambda r: (release_at(r, self._now), r.job_id)
            )
        return known

    def holding(self, node: str, what: str, amount: Callable[[Reservation], int]) -> Holding:
        """Those on a node that hold some of `what` (`amount` says how much), the one expected to end first
        in front.
        """
        here = self._holding.setdefault(node, {})
        known = here.get(what)
        if known is None:
            here_by_end = self.by_end(node) if node != EVERYWHERE else self._counted_by_end()
            rows = [(r, held) for r in here_by_end if (held := amount(r))]
            known = here[what] = Holding(
                rows, tuple([r.job_id for r, _ in rows]), [release_at(r, self._now) for r, _ in rows]
            )
        return known

    def _counted_by_end(self) -> list[Reservation]:
        return sorted((r for r in self if r.held), key=lambda r: (release_at(r, self._now), r.job_id))

    def longest_left_s(self) -> float:
        """By their own estimates all of them are over after so long; infinity where one gave none."""
        ends = [
            self._last.get(node) or self._last_on(node, here.values()) for node, here in self._on_node.items()
        ]
        end = max([end for end, _ in ends], default=0.0)
        longest_s = max([longest_s for _, longest_s in ends], default=0.0)
        return max(self._now, end, self._now + longest_s) - self._now

    def _last_on(self, node: str, here: Iterable[Reservation]) -> tuple[float, float]:
        end, longest_s = 0.0, 0.0
        for r in here:
            expected_s = r.expected_s if r.expected_s > 0 and r.frozen_since is None else INFINITY
            if r.started_at:
                end = max(end, r.started_at + expected_s + r.frozen_s)
            else:
                longest_s = max(longest_s, expected_s)
        known = self._last[node] = (end, longest_s)
        return known
