"""What a body shows to a person: checked in the body's name, so that a page never has to doubt it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, get_args

import msgspec

from conductor.base.errors import BadResult
from conductor.base.secrets import scrub_all
from conductor.model.review import MOST_ITEMS, MOST_WORDS, Rejection, ReviewAsked, ReviewItem
from conductor.model.spec import JobSpec

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")


def asked_of(
    spec: JobSpec, items: Iterable[ReviewItem | Mapping[str, Any]], rejected: Rejection
) -> ReviewAsked:
    """Raises `BadResult`, which names the item."""
    if rejected not in get_args(Rejection):
        raise BadResult(f"rejected is one of {', '.join(get_args(Rejection))}, not {rejected!r}")
    found = tuple(_item(spec, number, item) for number, item in enumerate(items))
    if not found:
        raise BadResult("a review has at least one item: a body with nothing to show asks for none")
    if len(found) > MOST_ITEMS:
        raise BadResult(
            f"a review has {MOST_ITEMS} items at most, and this has {len(found)}: a person looks at each"
        )
    return ReviewAsked(items=found, rejected=rejected)


def by_eye(spec: JobSpec) -> ReviewAsked:
    """Of a canary that asks nothing by itself: what it made, as one item."""
    made = [output.path for output in spec.writes]
    picture = next((path for path in made if path.lower().endswith(PICTURES)), "")
    clip = next((path for path in made if path.lower().endswith(CLIPS)), "")
    names = ", ".join(PurePosixPath(path).name for path in made[:5])
    words = f"one of the first of {spec.task}" + (f": {names}" if names else "")
    return ReviewAsked(items=(ReviewItem(words=words[:MOST_WORDS], picture=picture, clip=clip),))


def scrubbed(asked: ReviewAsked | None) -> ReviewAsked | None:
    """Without secrets in its words."""
    return None if asked is None else msgspec.convert(scrub_all(msgspec.to_builtins(asked)), ReviewAsked)


def _item(spec: JobSpec, number: int, given: ReviewItem | Mapping[str, Any]) -> ReviewItem:
    known = {output.path for output in spec.writes}.union(spec.reads, spec.inputs)
    try:
        raw = msgspec.to_builtins(given) if isinstance(given, ReviewItem) else dict(given)
        item = msgspec.convert(raw, ReviewItem)
    except (msgspec.ValidationError, TypeError, ValueError) as e:
        raise BadResult(f"review item {number + 1}: {e}") from None
    for name, path in (("picture", item.picture), ("clip", item.clip)):
        if path and path not in known:
            raise BadResult(
                f"review item {number + 1}: its {name} {path!r} is no file that the job writes or reads"
            )
    return msgspec.structs.replace(item, words=item.words[:MOST_WORDS])
