"""A failover of Redis in one sentence. Pure."""

from __future__ import annotations

from conductor.base.text import many
from conductor.model.served_by import ServedBy


def failover_words(served: ServedBy) -> str:
    """Without its stop."""
    took = "" if served.took_s is None else f" within {served.took_s:.1f} s"
    return f"Redis failed over from {served.before} to {served.server}{took}: {cost_words(served)}"


def cost_words(served: ServedBy) -> str:
    if not served.floor and not served.told_again:
        return "nothing is missing"
    parts = [f"{many(served.went_back, 'attempt')} went back to the backlog"]
    if served.told_again:
        parts.append(f"jobs and words said again that were forgotten: {served.told_again}")
    if served.silent:
        parts.append(f"{many(served.silent, 'worker')} kept silent")
    if served.floor:
        parts.append(f"new attempts are numbered from {served.floor + 1}")
    return ", ".join(parts)
