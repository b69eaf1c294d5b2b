"""Why an attempt ended without a receipt that counts. One word per cause: the retry table's rows."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

Cause = Literal[
    "bad_input",
    "bad_output",
    "bad_result",
    "cuda_oom",
    "host_oom",
    "no_space",
    "rate_limited",
    "endpoint_unavailable",
    "store_unavailable",
    "server_error",
    "timeout",
    "stalled",
    "publish_failed",
    "task_error",
    "worker_lost",
    "cancelled",
    "refused",
    "rejected",
    "dependency_dead",
]

CAUSES: tuple[Cause, ...] = get_args(Cause)


def by_cause(own: Counter[str], dead: int) -> dict[str, int]:
    """Cause → jobs, the most frequent first. Of `dead` in all, who did not die of itself did for another's
    sake.
    """
    orphans = dead - own.total()
    return dict(own.most_common()) | ({"dependency_dead": orphans} if orphans > 0 else {})
