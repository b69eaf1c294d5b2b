"""The table of alert rules: what each looks for, how urgent it is, how long it has to last, what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from conductor.core.alerts import rules_of_services as services
from conductor.core.alerts import rules_of_work as work
from conductor.core.alerts.observations import Observations
from conductor.model.alerts import AlertFinding, AlertLevel, AlertRuleName, AlertThresholds

Find = Callable[[Observations, AlertThresholds], Iterator[AlertFinding]]
Seconds = Callable[[AlertThresholds], float]


def _at_once(limits: AlertThresholds) -> float:
    return 0.0


def _gone(limits: AlertThresholds) -> float:
    return limits.gone_s


def _idle(limits: AlertThresholds) -> float:
    return limits.idle_s


def _redis(limits: AlertThresholds) -> float:
    return limits.redis_s


class AlertRule(NamedTuple):
    """`find` answers for one instant; what it finds counts once it has been found for `after_s`."""

    level: AlertLevel
    #: One sentence, for those who read the list of rules.
    meaning: str
    find: Find
    #: What is well again when it is over; «{}» is what it was about.
    over: str
    after_s: Seconds = _at_once
    #: In `docs/runbooks/`; empty: the rule's own name.
    page: str = ""


RULES: dict[AlertRuleName, AlertRule] = {
    "redis-gone": AlertRule(
        "urgent",
        "Redis does not answer this host.",
        services.redis_gone,
        "Redis answers again",
        _redis,
    ),
    "conductor-gone": AlertRule(
        "urgent",
        "The conductor was killed, or does not decide any more.",
        services.conductor_gone,
        "a conductor leads and ticks",
        _gone,
    ),
    "no-leader": AlertRule(
        "urgent",
        "Work is left, and nobody leads.",
        services.no_leader,
        "a conductor leads, or nothing is left to do",
        _gone,
    ),
    "node-gone": AlertRule(
        "urgent",
        "A node reports no more, and had not left by itself.",
        services.node_gone,
        "{} reports again, or has left",
        _gone,
    ),
    "worker-gone": AlertRule(
        "urgent",
        "A queue has no worker, or its workers die at each start.",
        services.worker_gone,
        "{} has workers",
        _gone,
    ),
    "engine-lost": AlertRule(
        "warning",
        "An engine that pilots come from does not answer.",
        services.engine_lost,
        "{} answers again",
        _gone,
    ),
    "pilots-dying": AlertRule(
        "urgent",
        "Pilots are refused, or end as soon as they are up.",
        services.pilots_dying,
        "pilots of {} live again",
    ),
    "nas-gone": AlertRule(
        "urgent",
        "A root is not mounted, not there, or cannot be written to.",
        services.nas_gone,
        "{} can be used again",
    ),
    "scratch-low": AlertRule(
        "warning",
        "A root is closed for lack of room, or has little left.",
        services.scratch_low,
        "{} has room again",
        _gone,
    ),
    "nothing-admitted": AlertRule(
        "urgent",
        "Jobs wait, nothing runs, and nobody wanted it so.",
        work.nothing_admitted,
        "jobs run again, or none waits",
        _idle,
    ),
    "failures": AlertRule(
        "urgent", "More attempts failed within an hour than are usual.", work.failures, "fewer fail again"
    ),
    "breaker-open": AlertRule(
        "warning",
        "Jobs of a kind failed alike, and the rest of it is held back.",
        work.breaker_open,
        "{} is fed again",
    ),
    "review-debt": AlertRule(
        "warning", "Many jobs wait for a person's verdict.", work.review_debt, "fewer jobs are in review"
    ),
    "running-long": AlertRule(
        "warning", "Jobs run for very long.", work.running_long, "no job of {} runs for so long"
    ),
    "waiting-long": AlertRule(
        "warning", "Jobs wait for very long.", work.waiting_long, "no job of {} waits for so long"
    ),
    "budget-near": AlertRule(
        "warning",
        "Most of the money for an API is spent.",
        work.budget_near,
        "{} is no longer near its budget",
        page="budget",
    ),
    "budget-over": AlertRule(
        "warning",
        "The money for an API is spent.",
        work.budget_over,
        "{} may be asked again",
        page="budget",
    ),
    "receipts-mismatch": AlertRule(
        "urgent",
        "Receipts are cut, lost, count twice, or a published file is not what its receipt says.",
        work.receipts_mismatch,
        "nothing more was found within an hour",
    ),
    "schedule-skipped": AlertRule(
        "warning",
        "A schedule did not run when it was due.",
        work.schedule_skipped,
        "{} was not skipped within the last hour",
    ),
    "fallback-spike": AlertRule(
        "warning",
        "Attempts ran on another engine than was meant: on the CPU beside a device, or as they say.",
        work.fallback_spike,
        "fewer attempts of {} run on another engine than was meant",
    ),
    "engine-fallback": AlertRule(
        "warning",
        "Many jobs went on with a less preferred engine.",
        work.engine_fallback,
        "{} gets its preferred engine again",
    ),
}


def runbook_of(name: AlertRuleName) -> str:
    """The file in `docs/runbooks/`."""
    return f"{RULES[name].page or name}.md"


def found(
    seen: Observations, limits: AlertThresholds, off: Collection[str] = ()
) -> dict[AlertRuleName, list[AlertFinding]]:
    """What each rule that is on finds. Where Redis does not answer, nothing else can be known: only that is
    asked."""
    asked: Collection[AlertRuleName] = RULES if seen.redis_lost_since is None else ("redis-gone",)
    return {name: list(RULES[name].find(seen, limits)) for name in asked if name not in off}
