"""Jobs that show something to a person, and the person's word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.causes import Cause
from conductor.model.review import ItemVerdict, OpenReview


class Reviews(Protocol):
    """A receipt that asks for a verdict brings its job here (`Attempts.accept`); one of the same body without
    a question is the person's yes."""

    def shown(self) -> dict[str, str]:
        """Jobs that wait for a verdict → the body it is about. Costs by the number in review."""
        ...

    def asked(self, ids: Sequence[str]) -> tuple[OpenReview, ...]:
        """What these show, in that order; those that wait for no verdict are left out."""
        ...

    def judge(
        self, job_id: str, body: str, verdicts: Sequence[ItemVerdict]
    ) -> tuple[ItemVerdict, ...] | None:
        """Say it, item by item. The first word on an item stands: all that stand now. Nothing else changes.
        None: the job does not wait for a verdict on that body (any more)."""
        ...

    def reject(self, job_id: str, body: str, cause: Cause, message: str) -> bool:
        """in review → dead, with those in whose `after` it stands. Its receipt is on disk by then."""
        ...
