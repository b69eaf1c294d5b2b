"""What users count by name (`[counters.NAME]`): licences, tickets, how many of a task may run at once. Pure.

A counter is one more pool: of the whole cluster, of each node, or of each device. Its charge key is «:nuke»,
«node1:nuke» or «node1/gpu0:nuke»; a reservation says what it holds by these keys, so that the ledger needs no
rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import structs

from conductor.core.capacity.resources import Amounts, Pool, charge_key
from conductor.model.limits import CounterRule, Per
from conductor.model.reason import NO_DETAIL, Detail, Reason
from conductor.model.report import CounterReading, NodeReport
from conductor.model.snapshot import JobClass

Rules = Mapping[str, CounterRule]


class CounterPool(Pool):
    """How many there are, less what others hold. `is_closed`: that is not known, and none is given out."""

    __slots__ = ("_age_s", "_reading", "is_closed")

    def __init__(self, rule: CounterRule, reading: CounterReading | None = None, age_s: float = 0.0) -> None:
        """`age_s`: of what the reading came with."""
        self._reading, self._age_s = reading, age_s
        stale = is_stale(rule, reading, age_s)
        self.is_closed = stale and rule.on_stale == "shut"
        others = 0 if stale or reading is None or reading.others is None else reading.others
        super().__init__(rule.limit, rule.limit if self.is_closed else others)

    def why_closed(self) -> tuple[Reason, Detail]:
        reading = self._reading
        if reading is None:
            return Reason.COUNTER_SILENT, NO_DETAIL
        age_s = None if reading.others is None else reading.age_s + self._age_s
        return Reason.COUNTER_STALE, Detail(words=reading.fault, age_s=age_s)


def is_stale(rule: CounterRule, reading: CounterReading | None, age_s: float = 0.0) -> bool:
    """Is it not known any more how many others hold."""
    if not rule.has_command:
        return False
    return reading is None or reading.others is None or reading.age_s + age_s > rule.stale_after_s


def counts_of(job_class: JobClass, rules: Rules) -> dict[str, int]:
    """Counter → how many a job of that class holds: those that its line asks for, and one of each counter
    that its task is listed in."""
    counts: dict[str, int] = dict(job_class.needs.counters)
    for name, rule in rules.items():
        if job_class.task in rule.tasks:
            counts.setdefault(name, 1)
    return counts


def asked(counts: Mapping[str, int], rules: Rules, per: Per) -> Amounts:
    """Those that are counted so. One that is not configured is looked for, and not found, in the whole
    cluster.
    """
    of = {name: "cluster" if (rule := rules.get(name)) is None else rule.per for name in counts}
    return tuple(sorted((name, amount) for name, amount in counts.items() if of[name] == per))


def pools_of(
    rules: Rules, per: Per, readings: Mapping[str, CounterReading], age_s: float = 0.0
) -> dict[str, Pool | None]:
    return {
        name: CounterPool(rule, readings.get(name), age_s) for name, rule in rules.items() if rule.per == per
    }


def keyed(pools: Mapping[str, Pool | None], rules: Rules, place: str) -> Iterable[tuple[str, Pool]]:
    """(charge key, pool) of the counters among them."""
    for name, pool in pools.items():
        if name in rules and pool is not None:
            yield charge_key(name, place), pool


def answered(
    rules: Rules, readings: Mapping[str, CounterReading], nodes: Iterable[NodeReport]
) -> dict[str, CounterRule]:
    """For who plays on what comes: of a command that never told, others are thought to hold none."""
    of_nodes = [node.counters for node in nodes]

    def is_told(name: str, rule: CounterRule) -> bool:
        asked = [readings] if rule.per == "cluster" else of_nodes
        return all((reading := told.get(name)) is not None and reading.others is not None for told in asked)

    return {
        name: rule if is_told(name, rule) else structs.replace(rule, has_command=False)
        for name, rule in rules.items()
    }
