"""What the stream of events hears of an attempt while it runs: that its body runs, and how far it is.

It is told by the keeper's rounds. A job that is over before the first of them is not worth a word: of such
there are a thousand a second, and `job.done` says all.
"""

from __future__ import annotations

from conductor.base.logs.events import emit_event
from conductor.model.subject import SHORT_ID
from workers.isolation.held_attempt import Held

#: Progress of one attempt is told no more often.
EVERY_S = 2.0


def tell_progress(held: Held, now: float) -> None:
    """`now`: monotonic."""
    state = (held.progress, held.note)
    if held.told is None:
        emit_event("job.started", "Running: {about} ({})", held.job_id[:SHORT_ID], job_id=held.job_id,
                   attempt=held.attempt, task=held.reservation.task, about=held.about,
                   node=held.reservation.node, device=",".join(held.reservation.devices))  # fmt: skip
    elif state == held.told or now - held.told_at < EVERY_S:
        return
    if held.progress is not None:
        emit_event("job.progress", "{about} ({}): {progress:.0%} {note}", held.job_id[:SHORT_ID],
                   job_id=held.job_id, attempt=held.attempt, task=held.reservation.task, about=held.about,
                   progress=held.progress,
                   note=held.note)  # fmt: skip
    held.told, held.told_at = state, now
