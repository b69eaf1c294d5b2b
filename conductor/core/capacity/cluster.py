"""What is left to give, everywhere: built from the snapshot, or brought to the next one, and reduced by what
is admitted. Of one node: `core.capacity.node`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from conductor.core.capacity.counters import keyed, pools_of
from conductor.core.capacity.in_flight import NOTHING_HELD, Reservations
from conductor.core.capacity.node import DeviceFree as DeviceFree
from conductor.core.capacity.node import DiskFree as DiskFree
from conductor.core.capacity.node import NodeFree, QueueFree, add_written, charge_node, held
from conductor.core.capacity.resources import Pool as Pool
from conductor.core.capacity.resources import Steps
from conductor.core.capacity.work_in_flight import Work, WorkByBacklog
from conductor.model.chains import RecentWrite
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import Head, JobClass, RateState, Reservation, Snapshot, cost_of
from conductor.model.spec import LANES, Lane

#: Classes of which something is kept from tick to tick.
MOST_KNOWN = 10_000


def _name(report: NodeReport) -> str:
    return report.node


class RateFree:
    """One API's budget, less what this tick hands over. None: that budget has no known limit."""

    __slots__ = ("going", "requests_left", "state", "tokens_left", "usd_left")

    def __init__(self, state: RateState) -> None:
        self.state = state
        self.requests_left = state.requests_left
        self.tokens_left = state.tokens_left
        self.usd_left = state.usd_left
        self.going = state.going

    def usd_of(self, requests: int, tokens: int) -> float:
        return cost_of(self.state.usd_per_token, self.state.usd_per_call, requests, tokens)

    def take(self, requests: int, tokens: int) -> None:
        self.going += 1
        if self.requests_left is not None:
            self.requests_left -= requests
        if self.tokens_left is not None:
            self.tokens_left -= tokens
        if self.usd_left is not None:
            self.usd_left -= self.usd_of(requests, tokens)


#: Heads of a class, and from when to when they were dispatched.
Span = tuple[tuple[Head, ...], float, float]


class Free:
    """The whole of it. Mutable, and private to one call of `decide`."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.now = snapshot.now
        reports = sorted(snapshot.nodes, key=_name)
        self.nodes = {report.node: NodeFree(report, snapshot, limits) for report in reports}
        self.rates = {state.key: RateFree(state) for state in snapshot.rates}
        self.queues: dict[Lane, list[QueueFree]] = {lane: [] for lane in LANES}
        for node in self.nodes.values():
            for lane, queues in node.queues.items():
                for number, queue in enumerate(queues, len(self.queues[lane])):
                    queue.number = number
                self.queues[lane] += queues
        self._whole: Steps | None = None
        #: Of classes as they were asked about last (`core.ordering.orders`): since when their heads wait, and
        #: what share they take.
        self.spans: dict[str, Span] = {}
        self.shares: dict[str, tuple[JobClass, float]] = {}
        self._places: dict[Lane, int] | None = None
        self._work: Work | None = None
        self._work_of: WorkByBacklog | None = None
        #: What `core.ordering.backfill` found of a node, for as long as it stays so.
        self.found: dict[tuple[str, Hashable], tuple[int, float, Any]] = {}
        #: A node could ever give more, or less, than before `follow`.
        self.is_resized = False
        #: Nodes that were given something since they were read.
        self._touched: set[str] = set()
        self._by_name = {queue.name: queue for queues in self.queues.values() for queue in queues}
        #: Node → its version, and its place among those with most to give.
        self._gives: dict[str, tuple[int, tuple[bool, int, int, str]]] = {}
        #: What the gates said of its pools (`core.admission.gates`): in this tick, and in the one before, by
        #: node and amount.
        self.told: dict[Pool, Any] = {}
        self.telling: dict[tuple[str, str], Any] = {}
        self.told_before: dict[tuple[str, str], Any] = {}
        self.reservations = Reservations(snapshot.reservations, self.now)
        #: Counter of the whole cluster → what there is of it; its charge key → the same.
        self.amounts: dict[str, Pool | None] = {}
        self.counted: dict[str, Pool] = {}
        self._count()
        self._charge()
        for fact in snapshot.written:
            if (node := self.nodes.get(fact.node)) is not None:
                add_written(node, fact)
        for node in self.nodes.values():
            for pool in node.pools():
                pool.settle()

    @property
    def whole(self) -> Steps:
        """Of all nodes together, less the headrooms: VRAM, then each row of `resources.NODE`."""
        if self._whole is None:
            sizes = [node.size() for node in self.nodes.values()]
            self._whole = tuple(map(sum, zip(*sizes, strict=True))) if sizes else NOTHING_HELD
        return self._whole

    @property
    def places(self) -> dict[Lane, int]:
        """Lane → its workers."""
        if self._places is None:
            self._places = {lane: sum([q.workers for q in queues]) for lane, queues in self.queues.items()}
        return self._places

    def _charge(self) -> None:
        """With all of them, as nothing was charged yet."""
        nodes, by_name = self.nodes, self._by_name
        for r in self.reservations:
            if (queue := by_name.get(r.queue)) is not None:
                queue.active += 1
            if (node := nodes.get(r.node)) is not None:
                node.version += 1
                charge_node(node, r)

    def _count(self) -> None:
        """What the counters of the whole cluster have left, by all that is held wherever."""
        rules = self.limits.counters
        if not rules:
            return
        self.amounts = pools_of(rules, "cluster", self.snapshot.counters)
        self.counted = dict(keyed(self.amounts, rules, ""))
        for key, pool in self.counted.items():
            pool.reserved = self.reservations.held(key)
            pool.settle()

    def work_s(self, share: Callable[[Reservation], float]) -> float:
        """What is under way has left, by estimate, times its share of the whole. Built when it is asked
        for first.
        """
        left = None if self._work is None else self._work.left_s(self.now)
        if left is None:
            self._work = Work(self.reservations, share)
            left = self._work.left_s(self.now) or 0.0
        return left

    def work_of_backlogs(
        self, share: Callable[[Reservation], float], unknown_s: float
    ) -> tuple[WorkByBacklog, dict[str, float]]:
        """The same of each backlog, and what that has left now; of what gave no estimate, `unknown_s`."""
        left_s = None if self._work_of is None else self._work_of.left_s(self.now)
        if self._work_of is None or left_s is None:
            self._work_of = WorkByBacklog(self.reservations, share, unknown_s)
            left_s = self._work_of.left_s(self.now) or {}
        return self._work_of, left_s

    def _note(self, r: Reservation) -> None:
        if self._work is not None:
            self._work.add(r)
        if self._work_of is not None:
            self._work_of.add(r)
        if (node := self.nodes.get(r.node)) is not None:
            node.version += 1
        self.reservations.add(r)

    def _forget(self, r: Reservation) -> None:
        if self._work is not None:
            self._work.drop(r.job_id)
        was = self.reservations.drop(r)
        if self._work_of is not None:
            self._work_of.drop(was)
        if (node := self.nodes.get(was.node)) is not None:
            node.version += 1

    def _follow(self, reservations: Iterable[Reservation]) -> set[str]:
        """The nodes on which one came, went, or is another than it was."""
        over, new = self.reservations.changes(reservations)
        for r in over:
            self._forget(r)
        for r in new:
            self._note(r)
        return {r.node for r in (*over, *new)}

    def renew(self, snapshot: Snapshot) -> None:
        """For a keeper of the state: another time, other budgets of APIs, the same nodes."""
        self.snapshot = snapshot
        self.now = snapshot.now
        self.reservations.renew(self.now)
        self._count()
        if self.told:
            self.told_before, self.telling = self.telling, {}
            self.told.clear()
        if len(self.spans) > MOST_KNOWN or len(self.shares) > MOST_KNOWN:
            self.spans.clear()
            self.shares.clear()
        if snapshot.rates or self.rates:
            self.rates = {state.key: RateFree(state) for state in snapshot.rates}

    def add(self, reservation: Reservation) -> None:
        """One admitted in this tick, or brought up to date: its amounts are taken from the pools by the
        caller.
        """
        self._note(reservation)
        self._touched.add(reservation.node)

    def started(self, reservation: Reservation) -> NodeFree | None:
        """One that was admitted is no longer queued. Its node where its queue was full until now."""
        queue = self._by_name[reservation.queue]
        was_full = not queue.has_room
        queue.queued -= 1
        self.add(reservation)
        return queue.node if was_full else None

    def drop(self, reservation: Reservation) -> NodeFree:
        """A reservation that ended gives back what it held. For a caller that keeps the state; a tick builds
        a state of its own."""
        self._forget(reservation)
        node = self.nodes[reservation.node]
        self._by_name[reservation.queue].active -= 1
        for pool, amount in held(node, reservation):
            pool.take(-amount)
        return node

    def follow(self, snapshot: Snapshot) -> list[NodeFree] | None:
        """To a later snapshot: only nodes of which something changed are read again; they are returned, the
        same objects. None: what changed is more than that, and all of this is to be built anew."""
        before, limits, self.is_resized = self.snapshot, self.limits, False
        reports = sorted(snapshot.nodes, key=_name)
        if before.controls != snapshot.controls or [r.node for r in reports] != list(self.nodes):
            return None
        changed = self._touched | self._follow(snapshot.reservations)
        self._touched.clear()
        for was, now in ((before.queued, snapshot.queued), (before.deep, snapshot.deep)):
            if was != now:
                differing = {name for name, _ in was.items() ^ now.items()}
                changed |= {
                    queue.node.name for name in differing if (queue := self._by_name.get(name)) is not None
                }
        changed |= {fact.node for fact in (*before.written, *snapshot.written)}
        self.renew(snapshot)
        written: dict[str, list[RecentWrite]] = {}
        for fact in snapshot.written:
            written.setdefault(fact.node, []).append(fact)
        read: list[NodeFree] = []
        for report, node in zip(reports, self.nodes.values(), strict=True):
            if report is not node.report and report != node.report:
                changed.add(node.name)
            if node.name in changed:
                if not self._read_again(node, report, written.get(node.name, ())):
                    return None
                read.append(node)
            else:
                node.age_s = self.now - report.sent_at
                if (node.age_s > limits.report_ttl_s) != node.is_stale:
                    return None
        return read

    def _read_again(self, node: NodeFree, report: NodeReport, written: Iterable[RecentWrite]) -> bool:
        """False: it has other queues now."""
        shape, sizes, old = node.shape(), node.sizes(), [q for queues in node.queues.values() for q in queues]
        node.read(report, self.snapshot, self.limits)
        if node.shape() != shape:
            return False
        if node.sizes() != sizes:
            self._whole = self._work = self._work_of = None
            self.shares.clear()
            self.is_resized = True
        new = [q for queues in node.queues.values() for q in queues]
        for was, now in zip(old, new, strict=True):
            now.number = was.number
            self._by_name[now.name] = self.queues[now.lane][was.number] = now
            if now.workers != was.workers:
                self._places = self._work_of = None
        for r in self.reservations.on(node.name):
            if (queue := self._by_name.get(r.queue)) is not None:
                queue.active += 1
            charge_node(node, r)
        for fact in written:
            add_written(node, fact)
        for pool in node.pools():
            pool.settle()
        return True

    def most_to_give(self, node: NodeFree) -> tuple[bool, int, int, str]:
        """A key that sorts the nodes with most to give in front. Ask it after the last admission."""
        known = self._gives.get(node.name)
        if known is None or known[0] != node.version:
            key = (
                node.is_draining or bool(node.obstacles),
                -node.vram_free_mib,
                -node.tie_break.free,
                node.name,
            )
            known = self._gives[node.name] = (node.version, key)
        return known[1]
