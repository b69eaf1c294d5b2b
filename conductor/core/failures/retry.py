"""What becomes of a failed attempt, by its cause. One table; a task and a line may change the budgets.

Deterministic: no jitter. A thousand jobs that come back at once are no herd, the gates let in only what fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from conductor.core.needs.escalation import Raised
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry


class RetryRule(NamedTuple):
    #: How many attempts may fail this way before the job is dead; None: as many as it takes.
    budget: int | None
    #: Seconds before the first retry; each further one waits `factor` times as long, up to `cap_s`.
    base_s: float = 0.0
    factor: float = 1.0
    cap_s: float = 3600.0
    #: When it happens, and what the next attempt does otherwise: the words of docs/retry.md.
    when: str = ""
    change: str = "nothing: it is the same attempt again"


NONE = "none: trying again cannot help"

TABLE: Mapping[Cause, RetryRule] = {
    "bad_input": RetryRule(0, when="the input is missing, broken, or not what was planned with", change=NONE),
    "bad_output": RetryRule(
        1,
        base_s=5,
        when="its output is there and is not what its name, its result or its line's `expect` says",
    ),
    "bad_result": RetryRule(
        0,
        when="the body returned what is no JSON, or more than 1 MiB",
        change="none by itself: its files are kept, and `conductor retry` publishes them, with a result "
        "that says what "
        "was lost",
    ),
    "refused": RetryRule(0, when="the configuration does not allow it", change=NONE),
    "cancelled": RetryRule(0, when="the operator's word", change=NONE),
    "rejected": RetryRule(
        0,
        when="a person looked at it, and rejected it",
        change="none: `conductor retry` makes it again",
    ),
    "dependency_dead": RetryRule(
        0,
        when="a job in its `after` is dead or cancelled",
        change="none: it comes back with the job it waits for",
    ),
    # Nobody's fault: it costs nothing, and goes when the API says so.
    "rate_limited": RetryRule(
        None,
        base_s=10,
        when="the API answered 429",
        change="its rate key is closed for all until the API's own time",
    ),
    "endpoint_unavailable": RetryRule(
        None,
        base_s=5,
        factor=2,
        cap_s=300,
        when="the API cannot be reached, is overloaded, says when to come back, or refuses all (key, "
        "money, model)",
        change="its rate key is closed for all, with the server's words; then one job asks before the "
        "rest follows",
    ),
    "store_unavailable": RetryRule(
        None,
        base_s=5,
        factor=2,
        cap_s=300,
        when="its store (`[stores.NAME]`) is away, full, locked, or lets nobody in",
        change="the store is closed for all, with its own words; then one job asks before the rest follows",
    ),
    # The host's fault, not the job's: a long job on a host that keeps losing workers must get through.
    # Bounded, or a job that kills its worker would do so all night.
    "worker_lost": RetryRule(
        10,
        when="its worker, its body or a program of it was killed from outside, its host is gone, its "
        "lease ran out",
    ),
    "server_error": RetryRule(
        5, base_s=5, factor=2, cap_s=300, when="the API answered 500 or the like, or broke off"
    ),
    "no_space": RetryRule(
        20,
        base_s=30,
        when="the disk is full",
        change="asks for at least the space that was measured, and waits for it",
    ),
    "cuda_oom": RetryRule(
        3,
        base_s=5,
        factor=2,
        cap_s=60,
        when="the device that it holds had no memory left",
        change="asks for more VRAM: the measured peak × 1.25 (not measured: what it asked × 1.5), at "
        "most a whole "
        "device; after that it is dead",
    ),
    "host_oom": RetryRule(
        2,
        base_s=10,
        factor=2,
        cap_s=60,
        when="the kernel killed it for memory, or it was given none",
        change="asks for more RAM: the measured peak × 1.25 (not measured: what it asked × 1.5), at most a "
        "whole node; "
        "after that it is dead",
    ),
    "timeout": RetryRule(
        1, when="it ran longer than its `timeout_s`", change="nothing: the same limit again"
    ),
    "stalled": RetryRule(1, when="it reported no progress for the task's `stall_s`"),
    "task_error": RetryRule(2, base_s=5, factor=2, cap_s=60, when="any other error of the task"),
    # The work is done and kept: only the NAS is missing, so this waits longest.
    "publish_failed": RetryRule(
        60,
        base_s=10,
        factor=2,
        cap_s=600,
        when="the output is computed and cannot be put in place",
        change="only publishes: the computed files are kept, nothing is computed again. Where something "
        "stands at its "
        "name that this job did not make it is dead at once: that does not go away by itself",
    ),
}


NO_WAITS: Mapping[Cause, float] = MappingProxyType({})


def after_failure(
    cause: Cause,
    failures: Mapping[Cause, int],
    overrides: Mapping[Cause, int],
    retry_after_s: float | None = None,
    raised: Raised | None = None,
    *,
    waits: Mapping[Cause, float] = NO_WAITS,
    is_lasting: bool = False,
    is_free: bool = False,
) -> Retry | Dead:
    """`failures`: earlier failed attempts by cause, this one not among them. `overrides` replace budgets.

    `waits`: what the line says instead of the back-off. `retry_after_s` is what the API asked for; it stands
    over both. `raised`: what the attempt taught about the job's needs. `is_lasting`: it will not go away by
    itself. `is_free`: it was others' fault, and costs no retry."""
    if is_lasting:
        return Dead()
    row = TABLE[cause]
    budget = overrides.get(cause, row.budget)
    earlier = failures.get(cause, 0)
    if budget is not None and earlier >= budget and not is_free:
        return Dead()
    if raised is not None and raised.hopeless:
        return Dead(because=raised.hopeless)
    own_s = waits[cause] if cause in waits else back_off(row, earlier)
    delay_s = own_s if retry_after_s is None else max(0.0, retry_after_s)
    return Retry(delay_s=delay_s, job_class=raised.job_class if raised else None, is_free=is_free)


def back_off(row: RetryRule, earlier: int) -> float:
    if row.base_s == 0:
        return 0.0
    # The exponent is bounded: a float has no room for 2 ** 5000.
    return min(row.cap_s, row.base_s * row.factor ** min(earlier, 64))


def page() -> str:
    """The table as Markdown, as it stands in docs/retry.md."""
    lines = [
        "| cause | when | retries | waits before a retry | what the next attempt does otherwise |",
        "|---|---|---|---|---|",
    ]
    for cause, row in TABLE.items():
        budget = "as many as it takes" if row.budget is None else str(row.budget)
        lines.append(f"| `{cause}` | {row.when} | {budget} | {_waits(row)} | {row.change} |")
    return "\n".join(lines)


def _waits(row: RetryRule) -> str:
    if row.budget == 0:
        return "–"
    if row.base_s == 0:
        return "not at all"
    if row.factor == 1:
        return f"{row.base_s:g} s"
    return f"{row.base_s:g} s, each time {row.factor:g} × as long, at most {row.cap_s:g} s"
