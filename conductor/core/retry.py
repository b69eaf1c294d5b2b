"""What becomes of a failed attempt, by its cause. One table; a task and a line may change the budgets.

Deterministic: no jitter. A thousand jobs that come back at once are no herd, the gates let in only what fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from conductor.model.causes import Cause
from conductor.model.outcome import Dead, Retry


class Row(NamedTuple):
    #: How many attempts may fail this way before the job is dead; None: as many as it takes.
    budget: int | None
    #: Seconds before the first retry; each further one waits `factor` times as long, up to `cap_s`.
    base_s: float = 0.0
    factor: float = 1.0
    cap_s: float = 3600.0


TABLE: Mapping[Cause, Row] = {
    # Trying again cannot help.
    "bad_input": Row(0),
    "refused": Row(0),
    "cancelled": Row(0),
    "dependency_dead": Row(0),
    # Nobody's fault: it costs nothing, and goes when the API says so.
    "rate_limited": Row(None, base_s=10),
    # The host's fault, not the job's; bounded, or a job that kills its worker would do so all night.
    "worker_lost": Row(5),
    "server_error": Row(5, base_s=5, factor=2, cap_s=300),
    "no_space": Row(20, base_s=30),
    "cuda_oom": Row(3, base_s=5, factor=2, cap_s=60),
    "host_oom": Row(2, base_s=10, factor=2, cap_s=60),
    "timeout": Row(1),
    "stalled": Row(1),
    "task_error": Row(2, base_s=5, factor=2, cap_s=60),
    # The work is done and kept: only the NAS is missing, so this waits longest.
    "publish_failed": Row(60, base_s=10, factor=2, cap_s=600),
}


def after_failure(
    cause: Cause,
    failures: Mapping[Cause, int],
    overrides: Mapping[Cause, int],
    retry_after_s: float | None = None,
) -> Retry | Dead:
    """`failures`: earlier failed attempts by cause, this one not among them. `overrides` replace budgets.

    `retry_after_s` is what the API asked for; it stands over the table's own back-off."""
    row = TABLE[cause]
    budget = overrides.get(cause, row.budget)
    earlier = failures.get(cause, 0)
    if budget is not None and earlier >= budget:
        return Dead()
    if retry_after_s is not None:
        return Retry(delay_s=max(0.0, retry_after_s))
    return Retry(delay_s=back_off(row, earlier))


def back_off(row: Row, earlier: int) -> float:
    if row.base_s == 0:
        return 0.0
    # The exponent is bounded: a float has no room for 2 ** 5000.
    return min(row.cap_s, row.base_s * row.factor ** min(earlier, 64))
