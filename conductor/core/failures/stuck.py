"""Jobs in flight that do not get on: what is seen of each, and what will happen when. Pure; times are
epoch seconds.
"""

from __future__ import annotations

from conductor.base.text import duration
from conductor.model.snapshot import Reservation
from conductor.model.spec import Request, Value

#: Renewals come every third of a lease: two missed ones are a sign.
MISSED_SHARE = 0.75
#: Handed over and not started for so long.
UNSTARTED_S = 30.0
#: Longer than the estimate, by factor and at least by seconds.
SLOW_FACTOR = 3.0
SLOW_S = 30.0

ASKED = {"cancel": "cancelled", "fail": "dead", "requeue": "waiting again"}


class Stuck(Value, frozen=True, kw_only=True):
    """One job in flight that shows a sign. `seen` and `then` are words for a person."""

    job_id: str
    task: str
    #: asked, silent, frozen, stalled, slow, unstarted.
    sign: str
    seen: str
    then: str
    #: When that will be, where it is known.
    at: float | None = None


def sign_of(
    held: Reservation,
    request: Request | None,
    lease_until: float | None,
    lease_s: float,
    asked: str | None,
    now: float,
) -> Stuck | None:
    """The most urgent sign; None when all is well. `request`: None where the task is not known here."""

    def stuck(sign: str, seen: str, then: str, at: float | None = None) -> Stuck:
        return Stuck(job_id=held.job_id, task=held.task, sign=sign, seen=seen, then=then, at=at)

    if held.state == "admitted":
        waited = now - held.admitted_at
        if waited < UNSTARTED_S:
            return None
        return stuck(
            "unstarted",
            f"handed to {held.queue} {duration(waited)} ago",
            "starts when a worker there is free",
        )
    started = held.started_at or held.admitted_at
    silent_s = 0.0 if lease_until is None else max(0.0, now - (lease_until - lease_s))
    if asked is not None:
        when = lease_until if lease_until is not None else now
        words = (
            f"{ASKED.get(asked, asked)} when it has stopped, in {duration(max(0.0, when - now))} "
            "at the latest"
        )
        return stuck("asked", "its body is being stopped", words, when)
    if silent_s > lease_s * MISSED_SHARE and lease_until is not None:
        left = lease_until - now
        then = (
            f"taken from it in {duration(left)}" if left > 0 else "taken from it by the conductor's next tick"
        )
        return stuck("silent", f"no word from its worker for {duration(silent_s)}", then, lease_until)
    if held.frozen_since is not None:
        seen = f"frozen for {duration(max(0.0, now - held.frozen_since))}: {held.frozen_for}"
        return stuck("frozen", seen, "goes on when that is over; its time stands meanwhile")
    if request is None:
        return None
    quiet = held.quiet_s + silent_s
    if request.stall_s > 0 and quiet > request.stall_s / 2:
        at = now + request.stall_s - quiet
        then = f"killed as stalled in {duration(max(0.0, at - now))}"
        return stuck("stalled", f"no progress for {duration(quiet)}", then, at)
    elapsed = now - started - held.frozen_s
    if held.expected_s > 0 and elapsed > max(SLOW_FACTOR * held.expected_s, SLOW_S):
        at = started + held.frozen_s + request.timeout_s
        seen = f"runs for {duration(elapsed)}, {elapsed / held.expected_s:.0f} times its estimate"
        return stuck("slow", seen, f"killed at its limit in {duration(max(0.0, at - now))}", at)
    return None
