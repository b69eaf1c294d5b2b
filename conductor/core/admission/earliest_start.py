"""When a held class could start, as far as its verdicts can say. Reads the record, works nothing out anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from conductor.model.decision import Gate, Hold, Verdict
from conductor.model.reason import OF_KINDS, OF_ONE_PLACE, Reason
from conductor.model.spec import ResourceName

#: Gates that are asked per node; the others speak for all places at once.
OF_NODES: frozenset[Gate] = frozenset({"mount", "lane", "vram", "scratch", *get_args(ResourceName)})
#: Its task is not known (yet), and where.
OF_A_TASK: Mapping[Reason, Gate] = {Reason.UNKNOWN_TASK: "report", Reason.UNREAD_TASK: "hold"}
NEVER = float("inf")
NOW = 0.0

#: What others use may be given back in a moment: only after so long it counts as what can never be.
CROWDED_S = 30.0


def is_never(hold: Hold, now: float) -> bool:
    """No waiting helps: no node is large enough, or others have used too much of all of them for some
    time.
    """
    return hold.is_infeasible or (hold.crowded_since is not None and now - hold.crowded_since >= CROWDED_S)


def is_broken(hold: Hold) -> bool:
    """Whoever would run it dies at each start."""
    return any(verdict.is_broken for verdict in hold.closed)


def lacks_workers(hold: Hold) -> bool:
    """Nodes report, and none of them has a worker for it."""
    return any(verdict.reason is Reason.NO_WORKERS for verdict in hold.closed)


def lacks_task(hold: Hold) -> Gate | None:
    """The gate that does not know its task: no node that reports has it, or the conductor has not read it."""
    return next((OF_A_TASK[v.reason] for v in hold.closed if v.reason in OF_A_TASK), None)


def is_refused(hold: Hold) -> bool:
    """Its API refuses everybody, until a person has done something about it."""
    return any(verdict.is_refused for verdict in hold.closed)


def earliest(hold: Hold) -> float | None:
    """When every gate could be open at once, on the node where that is soonest; None where nobody can say."""
    of_all = [v for v in hold.closed if not _is_of_node(v) and not _is_of_one_place(v)]
    for_all = max(map(_opens, of_all), default=NOW)
    closed = {v.where for v in hold.closed if _is_of_one_place(v)}
    by_node: dict[str, list[Verdict]] = {}
    for verdict in hold.verdicts:
        if _is_of_node(verdict):
            by_node.setdefault(verdict.where.partition("/")[0], []).append(verdict)
    nodes = [_on_node(verdicts, closed) for node, verdicts in by_node.items() if node not in closed]
    soonest = max(for_all, min(nodes, default=NOW if not by_node else NEVER))
    return None if soonest in (NEVER, NOW) else soonest


def _is_of_one_place(verdict: Verdict) -> bool:
    return verdict.reason in OF_ONE_PLACE or (verdict.reason in OF_KINDS and verdict.where != "")


def _is_of_node(verdict: Verdict) -> bool:
    """Asked of each node; of counters those that are counted there."""
    return verdict.gate in OF_NODES or (verdict.gate == "counter" and "/" in verdict.where)


def _on_node(verdicts: Sequence[Verdict], closed: set[str]) -> float:
    """All gates of it, each where it opens first; files go to every root, devices may be asked several at
    once.
    """
    times = [NOW]
    for gate in OF_NODES:
        asked = [v for v in verdicts if v.gate == gate and v.where not in closed]
        if gate in ("mount", "scratch"):
            times += [_opens(v) for v in asked]
        elif asked:
            times.append(_nth(asked))
        elif any(v.gate == gate for v in verdicts):
            times.append(NEVER)  # all its places are closed
    counted: dict[str, list[float]] = {}
    for verdict in verdicts:
        if verdict.gate == "counter":
            counted.setdefault(verdict.where.rpartition("/")[2], []).append(_opens(verdict))
    times += [min(places) for places in counted.values()]
    return max(times)


def _nth(asked: Iterable[Verdict]) -> float:
    wanted = 1
    places: list[float] = []
    for verdict in asked:
        if verdict.unit == "devices":
            wanted = round(verdict.need)
        else:
            places.append(_opens(verdict))
    return sorted(places)[wanted - 1] if len(places) >= wanted else NEVER


def _opens(verdict: Verdict) -> float:
    if verdict.passed:
        return NOW
    return NEVER if verdict.is_never or verdict.reopens_at is None else verdict.reopens_at
