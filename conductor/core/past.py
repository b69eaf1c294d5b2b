"""What a job's receipts say of its failures: the verdict the ledger came to before it was emptied. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from conductor.core.retry import after_failure
from conductor.model.causes import Cause
from conductor.model.outcome import Dead

#: A job that comes back from its receipts goes on from the next multiple: no number that a worker may still hold,
#: without a receipt, is given out again. Known to `lua/base.lua` too.
LIFE = 100


def next_life(highest: int) -> int:
    """The attempts that a job is said to have had, above all that may have been handed out."""
    return (highest // LIFE + 1) * LIFE


def is_unheard(state: str, attempts: int, attempt: int) -> bool:
    """Does an attempt come from before Redis was emptied, as far as a job that waits again can tell?"""
    return state == "waiting" and (attempts < attempt or (attempts > 0 and attempts % LIFE == 0))


class Failure(NamedTuple):
    attempt: int
    cause: Cause
    message: str


class Verdict(NamedTuple):
    over: Literal["dead", "cancelled"] | None = None
    failures: Mapping[Cause, int] = {}
    cause: Cause | None = None
    message: str = ""


def verdict(
    failed: Sequence[Failure], overrides: Mapping[Cause, int], forgiven: int = 0, cancelled: int | None = None
) -> Verdict:
    """`failed`: the failed attempts of a job that is not done. `overrides` replace budgets.

    `forgiven`: up to that attempt the operator has sent it back. `cancelled`: that many attempts had been made when
    it was cancelled. A failure that was final and yet was followed by another attempt had been forgiven too.
    """
    failures: Counter[Cause] = Counter()
    over: Literal["dead", "cancelled"] | None = None
    last: Failure | None = None
    for failure in sorted(failed):
        if failure.attempt <= forgiven or (last is not None and failure.attempt == last.attempt):
            continue
        if over is not None:
            failures.clear()
        is_dead = isinstance(after_failure(failure.cause, failures, overrides), Dead)
        failures[failure.cause] += 1
        over = "cancelled" if failure.cause == "cancelled" else "dead" if is_dead else None
        last = failure
    if cancelled is not None and (last is None or last.attempt <= cancelled):
        return Verdict("cancelled", dict(failures), "cancelled", "by the operator")
    return Verdict(over, dict(failures), last.cause if last else None, last.message if last else "")
