"""What became of a job that an engine was asked to run, and what is to be done about it. Pure.

The ledger's word counts for more than the engine's. While the attempt is admitted nobody has begun it,
whatever a list says; it may be taken back, since a body that comes up late finds its number used. Once it
runs, its lease says whether it lives; the engine's word that it has ended moves nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec.structs import replace

from conductor.core.pilots.follow import LOST_AFTER_S
from conductor.core.pilots.plan import CANCEL_AGAIN_S
from conductor.model.engine import EngineJob
from conductor.model.job_submission import JobSubmission
from conductor.model.snapshot import ActiveState

#: What ended well leaves by itself: before that the engine is not told to end it.
LEAVE_S = 30.0
#: «give back»: the attempt to the backlog, at no cost. «cancel»: at the engine. «forget»: nothing is left.
JobStep = Literal["", "give back", "cancel", "forget"]


def follow_job(
    submission: JobSubmission,
    now: float,
    *,
    has_answered: bool,
    told: EngineJob | None,
    held: ActiveState | None,
) -> tuple[JobSubmission, JobStep]:
    """`has_answered`: the engine was asked just now, and `told` is what it said of the key (None: nothing).
    `held`: what the ledger, read after that, has the attempt as; None: it is over."""
    seen = _seen(submission, now, told, has_answered=has_answered)
    is_missing = seen.missing_since is not None and now - seen.missing_since >= LOST_AFTER_S
    is_lost = is_missing or (told is not None and told.state == "lost")
    has_ended = told is not None and told.state == "ended"
    if held is None:
        return _leaving(seen, now, told, is_gone=has_ended or is_missing)
    if held == "admitted" and (has_ended or is_lost):
        return _over(seen, now, _why(told)), "give back"
    if seen.state == "over" and told is not None:
        seen = replace(seen, state="placed", over_at=None, words="")  # it was to be given back, and has begun
    return seen, ""


def has_failed(submission: JobSubmission) -> bool:
    """The engine ended it before its attempt began, and we had not asked for that."""
    job = submission.job
    return (
        submission.cancelled_at is None
        and job is not None
        and job.state == "ended"
        and job.end != "cancelled"
    )


def _seen(
    submission: JobSubmission, now: float, told: EngineJob | None, *, has_answered: bool
) -> JobSubmission:
    changes: dict[str, Any] = {}
    if told is not None:
        changes = {"job": told, "told_at": now, "missing_since": None}
        if submission.state == "asking" and told.state != "lost":
            changes |= {"state": "placed", "words": ""}
    elif has_answered and submission.missing_since is None:
        changes = {"missing_since": now}
    return replace(submission, **changes) if changes else submission


def _leaving(
    seen: JobSubmission, now: float, told: EngineJob | None, *, is_gone: bool
) -> tuple[JobSubmission, JobStep]:
    if seen.over_at is None:
        seen = _over(seen, now, "its attempt is over")
    if is_gone:
        return seen, "forget"
    if told is None or seen.over_at is None:
        return seen, ""
    is_due = told.state == "pending" or now - seen.over_at >= LEAVE_S
    if is_due and now - (seen.cancelled_at or 0.0) >= CANCEL_AGAIN_S:
        return replace(seen, cancelled_at=now), "cancel"
    return seen, ""


def _over(submission: JobSubmission, now: float, words: str) -> JobSubmission:
    return replace(submission, state="over", over_at=now, words=words)


def _why(told: EngineJob | None) -> str:
    if told is None:
        return f"the engine has not told of it for {LOST_AFTER_S:.0f} s"
    return f"the engine says: {told.reason or told.end or told.state}"
