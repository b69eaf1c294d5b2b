"""The gate ledger from tick to tick: how long a class has been held by the same gates, and what is worth recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from conductor.model.decision import Hold


def closed_gates(hold: Hold) -> frozenset[str]:
    return frozenset(verdict.gate for verdict in hold.closed)


def with_since(holds: Iterable[Hold], before: Sequence[Hold]) -> tuple[Hold, ...]:
    """A class that was already held by the same gates keeps the moment it began."""
    known = {hold.class_id: (closed_gates(hold), hold.since) for hold in before}
    carried: list[Hold] = []
    for hold in holds:
        gates, since = known.get(hold.class_id, (frozenset[str](), 0.0))
        carried.append(msgspec.structs.replace(hold, since=since) if gates == closed_gates(hold) else hold)
    return tuple(carried)


def is_other_reason(holds: Sequence[Hold], before: Sequence[Hold]) -> bool:
    """Another class is held, or one by other gates: numbers that moved are no news."""
    return _reasons(holds) != _reasons(before)


def _reasons(holds: Sequence[Hold]) -> set[tuple[str, frozenset[str], bool]]:
    return {(hold.class_id, closed_gates(hold), hold.is_infeasible) for hold in holds}
