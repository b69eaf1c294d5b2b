"""A media file as it was counted: what a worker saw before it published it, and what `verify` sees."""

from __future__ import annotations

from conductor.model.spec import Exchanged


class MediaFact(Exchanged, frozen=True, kw_only=True, omit_defaults=True):
    """Pictures and sound as they are counted; `duration_s` is the longest stream's. Not counted: 0."""

    duration_s: float = 0.0
    #: Of the film; covers and thumbnails beside it are not counted.
    pictures: int = 0
    #: Of one channel of its sound.
    samples: int = 0
    #: As stored, and as it is shown: pixels made square, turned as the file says.
    width: int = 0
    height: int = 0
    shown: tuple[int, int] = (0, 0)
    tags: dict[str, str] = {}
    fault: str | None = None


class CountedMedia(Exchanged, frozen=True, kw_only=True):
    """`mark`: size and time of the last change of the file of which this was counted."""

    fact: MediaFact
    mark: str
