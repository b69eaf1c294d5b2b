"""What becomes of a job whose attempt failed. Decided by `core.retry`, carried out in one step by the ledger."""

from __future__ import annotations

from conductor.model.spec import Value


class Retry(Value, frozen=True, kw_only=True, tag="retry"):
    """Back to the backlog, not before `delay_s` from now."""

    delay_s: float = 0.0


class Dead(Value, frozen=True, kw_only=True, tag="dead"):
    """To the dead letter, until an operator retries it."""
