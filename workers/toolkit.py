"""What tasks of workflows share, in one place for who writes one: arguments, declared reads and writes,
threads, leaving, what a film holds, items for a person's review. docs/workflows.md shows each in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conductor.model.review import ReviewItem
from workers.task_api.context import JobContext
from workers.task_api.toolkit import (
    Args,
    is_reading,
    leave_if_told,
    parse,
    read_of,
    shown,
    threads,
    write_of,
)

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

__all__ = [
    "Args",
    "ReviewItem",
    "is_reading",
    "leave_if_told",
    "media_facts",
    "parse",
    "read_of",
    "shown",
    "threads",
    "write_of",
]


def media_facts(ctx: JobContext, read: str) -> MediaFacts:
    """Length, size, rate, streams and colours of a declared film, at the least price. Raises `BadInput` with
    the reason where it is none."""
    from workers.media import probing

    name = shown(read)
    return probing.film(ctx.input(read), name, is_reading(ctx, f"reading {name}"))
