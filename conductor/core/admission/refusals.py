"""Why a class stays: every gate asked at the end of the tick, and whether any node could ever take it.

Classes that agree in what a gate asks for share its answer, so that a thousand held classes cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import nsmallest

from conductor.core.admission.gates import (
    CLASS_GATES,
    NODE_GATES,
    RESOURCE_GATES,
    Part,
    amount_of,
    counter,
    mount,
    node_counter,
    node_hold,
    rate,
    scratch,
    vram,
)
from conductor.core.capacity.cluster import Free, NodeFree, QueueFree
from conductor.core.capacity.node import limits_of
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import could_fit
from conductor.core.placement.place import asks_vram
from conductor.model.decision import GATES, Gate, Verdict
from conductor.model.reason import CROWDED_OUT
from conductor.model.spec import Lane

#: So many nodes are named one by one; of more, the few with most to give: the rest say the same, only worse.
MOST_NODES = 8
SHOWN_NODES = 3
#: Questions that are kept from tick to tick.
MOST_QUESTIONS = 50_000

Gated = Callable[..., list[Verdict]]
#: Each says one gate's word: so asked in the order of their gates, the answers are in it too.
_WORD: dict[Gated, Gate] = {
    node_hold: "hold",
    node_counter: "counter",
    **{gate: name for name, gate in RESOURCE_GATES.items()},
}
OF_CLASS: frozenset[Gated] = frozenset(gate for gate, _ in CLASS_GATES)


#: Gates that say nothing to a request without such needs.
_CONCERNS: dict[Gated, Callable[[Demand], object]] = {
    rate: lambda demand: bool(demand.rates),
    counter: lambda demand: bool(demand.of_cluster),
    node_counter: lambda demand: len(demand.counts) > len(demand.of_cluster),
    mount: lambda demand: bool(demand.disk),
    scratch: lambda demand: bool(demand.disk),
    vram: lambda demand: demand.vram_mib > 0,
    **{gate: amount_of(name) for name, gate in RESOURCE_GATES.items()},
}
#: (gate, the part of a request that its answer depends on, whom it concerns; None: everybody)
IN_ORDER: list[tuple[Gated, Part, Callable[[Demand], object] | None]] = [
    (gate, part, _CONCERNS.get(gate))
    for gate, part in sorted(
        [*CLASS_GATES, *NODE_GATES], key=lambda asked: GATES.index(_WORD.get(asked[0]) or asked[0].__name__)
    )
]


class Question:
    """One gate, and the part of a request that its answer depends on. Compared by identity: there is one
    of each.
    """

    __slots__ = ("gate",)

    def __init__(self, gate: Gated) -> None:
        self.gate = gate


class GateAnswers:
    """What one gate says of a request, or all of them. Shared by the classes that agree in it."""

    __slots__ = ("closed", "is_crowded", "is_looked_at", "reopens_at", "verdicts")

    def __init__(self) -> None:
        self.verdicts: tuple[Verdict, ...] = ()
        #: Names of the gates that say no.
        self.closed: set[Gate] = set()
        #: Does one of them say that only others can open it.
        self.is_crowded = False
        #: When a budget is there again, of those that say no.
        self.reopens_at: list[float] = []
        #: For its caller: how soon to look again was worked out from it.
        self.is_looked_at = False

    @classmethod
    def of(cls, verdicts: tuple[Verdict, ...]) -> GateAnswers:
        found = cls()
        found.verdicts = verdicts
        for v in verdicts:
            if v.passed:
                continue
            found.closed.add(v.gate)
            if v.reason is CROWDED_OUT:
                found.is_crowded = True
            if v.reopens_at is not None and v.gate == "rate":
                found.reopens_at.append(v.reopens_at)
        return found

    def add(self, more: GateAnswers) -> None:
        """Behind what it has."""
        self.verdicts += more.verdicts
        if more.closed:
            self.closed |= more.closed
            self.is_crowded |= more.is_crowded
            self.reopens_at += more.reopens_at

    def but(self, denied: Verdict) -> GateAnswers:
        found = GateAnswers()
        found.add(self)
        found.add(GateAnswers.of((denied,)))
        return found


class Reasons:
    """Answers for one free state: ask it after the last admission."""

    def __init__(
        self,
        free: Free,
        kinds: dict[Lane, list[NodeFree]] | None = None,
        never: dict[Hashable, bool] | None = None,
        questions: dict[Hashable, Question] | None = None,
    ) -> None:
        """All three are filled, and may be handed in again: `kinds` and `never` while the nodes are the
        same.
        """
        self._free = free
        self._shown: dict[Lane, list[NodeFree]] = {}
        self._kinds: dict[Lane, list[NodeFree]] = {} if kinds is None else kinds
        self._never: dict[Hashable, bool] = {} if never is None else never
        self._questions: dict[Hashable, Question] = {} if questions is None else questions
        self._answers: dict[Question, GateAnswers] = {}
        self._whole: dict[Hashable, GateAnswers] = {}
        self._crowded: dict[Hashable, bool] = {}

    def answer(self, demand: Demand) -> GateAnswers:
        known = self._whole.get(demand.key)
        if known is None:
            known = self._whole[demand.key] = self._ask_all(demand)
        return known

    def _ask_all(self, demand: Demand) -> GateAnswers:
        """In the order of `GATES`."""
        questions = demand.questions
        if questions is None:
            questions = demand.questions = self._questions_of(demand)
        answers, found = self._answers, GateAnswers()
        for question in questions:
            known = answers.get(question)
            if known is None:
                known = answers[question] = GateAnswers.of(self._asked(question.gate, demand))
            if known.verdicts:
                found.add(known)
        return found

    def _questions_of(self, demand: Demand) -> list[Question]:
        if len(self._questions) > MOST_QUESTIONS:
            self._questions.clear()
        known, where, found = self._questions, demand.where, list[Question]()
        for gate, part, concerns in IN_ORDER:
            if concerns is not None and not concerns(demand):
                continue
            key = (gate, where, part(demand))
            question = known.get(key)
            if question is None:
                question = known[key] = Question(gate)
            found.append(question)
        return found

    def _asked(self, gate: Gated, demand: Demand) -> tuple[Verdict, ...]:
        if gate in OF_CLASS:
            return tuple(gate(demand, self._free))  # pyright: ignore[reportCallIssue, reportArgumentType]
        return tuple([v for node in self._nodes_shown(demand) for v in gate(demand, node, self._free)])  # pyright: ignore[reportCallIssue, reportArgumentType]

    def _nodes_shown(self, demand: Demand) -> list[NodeFree]:
        """Of a job whose files lie on one node: that one."""
        if demand.node is None:
            return self._nodes_of(demand.lane)
        home = self._free.nodes.get(demand.node)
        return [] if home is None else [home]

    def _nodes_of(self, lane: Lane) -> list[NodeFree]:
        """Fresh nodes with workers of the lane, those with most to give first. Where there is none: what the
        stale ones said last, so that a report that comes back brings no new reason."""
        shown = self._shown.get(lane)
        if shown is None:
            able = [node for node in self._free.nodes.values() if node.queues.get(lane)]
            nodes = [node for node in able if not node.is_stale] or able
            if len(nodes) > MOST_NODES:
                nodes = nsmallest(SHOWN_NODES, nodes, key=self._free.most_to_give)
            shown = self._shown[lane] = nodes
        return shown

    def is_infeasible(self, demand: Demand) -> bool:
        """No wait will ever open it: its budget is smaller than one call, or no live node is large enough."""
        if demand.rates and any(verdict.is_never for verdict in rate(demand, self._free)):
            return True
        if demand.of_cluster and not could_fit(self._free.amounts, demand.of_cluster):
            return True
        known = self._never.get(demand.key)
        if known is None:
            kinds = self._kinds_of(demand.lane) if demand.node is None else self._home(demand)
            known = self._never[demand.key] = bool(kinds) and not any(
                could_ever(node, demand) for node in kinds
            )
        return known

    def _home(self, demand: Demand) -> list[NodeFree]:
        """Of a job whose files lie on one node: that one, where it reports and has workers of the lane."""
        home = self._free.nodes.get(demand.node or "")
        return [] if home is None or home.is_stale or not home.queues.get(demand.lane) else [home]

    def is_crowded_out(self, demand: Demand) -> bool:
        """As things are, no job of ours that ends would open it: others use too much of every place."""
        known = self._crowded.get(demand.key)
        if known is None:
            known = self._crowded[demand.key] = self.answer(demand).is_crowded and not any(
                could_beside_others(node, demand)
                for node in self._free.nodes.values()
                if node.queues.get(demand.lane) and not node.is_stale and demand.node in (None, node.name)
            )
        return known

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


def could_ever(node: NodeFree, demand: Demand) -> bool:
    """Would it fit on this node if the node were empty and all of it healthy."""
    if not could_fit(node.amounts, demand.of_node):
        return False
    for root, size in demand.disk:
        disk = node.disks.get(root)
        if disk is None or (disk.pool is not None and size > disk.pool.limit):
            return False
    queues: list[QueueFree] = node.queues.get(demand.lane, [])
    if not all(asks_vram(queue, demand) for queue in queues):
        return True
    large = sum(could_fit(device.amounts, demand.of_device) for device in node.devices_for(demand))
    return large >= demand.devices or any(queue.missing for queue in queues)


def could_beside_others(node: NodeFree, demand: Demand) -> bool:
    """Would it fit, if all that is ours there ended and others went on."""
    if not could_ever(node, demand):
        return False
    pools = ((node.amounts[name], amount) for name, amount in demand.of_node)
    if any(pool is not None and amount > pool.left_by_others() for pool, amount in pools):
        return False
    queues: list[QueueFree] = node.queues.get(demand.lane, [])
    if not all(asks_vram(queue, demand) for queue in queues):
        return True
    # One that is closed may open again, and what it has then nobody knows.
    able = sum(
        d.why_not is not None or d.vram.left_by_others() >= demand.vram_mib for d in node.devices_for(demand)
    )
    return able >= demand.devices or any(queue.missing for queue in queues)


def _size(node: NodeFree, lane: Lane) -> Hashable:
    return (
        limits_of(node.amounts),
        tuple(sorted((root, disk.pool.limit if disk.pool else -1) for root, disk in node.disks.items())),
        tuple(sorted((limits_of(device.amounts), device.is_slice) for device in node.devices.values())),
        tuple((queue.device is not None, queue.missing) for queue in node.queues.get(lane, ())),
    )
