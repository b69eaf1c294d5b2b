"""Why an attempt ended without a receipt that counts. One word per cause: the retry table's rows."""

from __future__ import annotations

from typing import Literal, get_args

Cause = Literal[
    "bad_input",
    "bad_output",
    "bad_result",
    "cuda_oom",
    "host_oom",
    "no_space",
    "rate_limited",
    "server_error",
    "timeout",
    "stalled",
    "publish_failed",
    "task_error",
    "worker_lost",
    "cancelled",
    "refused",
    "dependency_dead",
]

CAUSES: tuple[Cause, ...] = get_args(Cause)
