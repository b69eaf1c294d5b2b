"""That a job goes on with a less preferred engine, said in one way by the tick and by workers."""

from __future__ import annotations

from conductor.base.logs.events import emit_event


def tell_fallback(job_id: str, task: str, about: str, left: str, engine: str, reason: str, why: str) -> None:
    """`about`: what the job is about. `reason`: one word, for those who count."""
    emit_event("engine.fallback", "{about} ({}) goes on with {to_engine} instead of {from_engine}: {why}",
               job_id[:8], job_id=job_id, task=task, about=about, from_engine=left, to_engine=engine,
               reason=reason, why=why)  # fmt: skip
