"""Which stream of a file is the film and which its sound: chosen once, by index, for every look and every
task.

A file holds more than a film: covers, thumbnails (also without the mark of one), the data of a camera, tracks
of a codec that nothing here decodes. What stands first is not what is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from av.container import InputContainer

    Opened = Callable[[], InputContainer]

#: Where the pictures of several tracks are not counted by an index, so many packets are looked at to tell
#: them apart.
PEEK_PACKETS = 2000


class Chosen(NamedTuple):
    """Indexes of streams; None: there is none that can be decoded. `unread`: kinds that have one without a
    decoder.
    """

    film: int | None
    sound: int | None
    unread: frozenset[str]


def choose(container: InputContainer, again: Opened) -> Chosen:
    """The film: what moves before what stands still, then the largest, then the default, then the first. The
    sound: no comment and no description, then the default, then the first. `again` opens the same file once
    more, for a look.

    A still picture in front of a film without decoder is not that film: there is none then."""
    videos = [stream for stream in container.streams.video if not is_aside(stream)]
    sounds = list(container.streams.audio)
    decodable = [stream for stream in videos if is_decodable(stream)]
    # A decoder that was found and made nothing of the first pictures is as good as none, where there is
    # another.
    shown = [stream for stream in decodable if stream.codec_context.pix_fmt is not None] or decodable
    read = [*shown, *(stream for stream in sounds if is_decodable(stream))]
    unread = frozenset(stream.type for stream in [*videos, *sounds] if stream not in read)
    counts = _pictures(videos, again) if len(videos) > 1 else Counter[int]()
    film = max(shown, key=lambda stream: _rank(stream, counts), default=None)
    if film is not None and "video" in unread and counts[film.index] <= 1:
        film = None
    sound = min((s for s in sounds if is_decodable(s)), key=_order, default=None)
    return Chosen(None if film is None else film.index, None if sound is None else sound.index, unread)


def is_aside(stream: Any) -> bool:
    """A cover, or thumbnails, that say so; a layer that only another track's decoder can use."""
    from av.stream import Disposition

    return bool(
        stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent)
    )


def is_decodable(stream: Any) -> bool:
    return stream.codec_context is not None


def indexed(stream: Any) -> int | None:
    """How many packets of it are shown, by the file's own index; None where that does not name each.

    Only that of an .mp4 or .mov does, where it is no row of fragments: others name only some of them."""
    if not stream.frames or "mp4" not in stream.container.format.name:
        return None
    return sum(not entry.is_discard for entry in stream.index_entries)


def _pictures(videos: list[Any], again: Opened) -> Counter[int]:
    """Of each: by the index, else what a look into the file finds; two are as good as many."""
    known = {stream.index: indexed(stream) for stream in videos}
    counts = Counter({index: count for index, count in known.items() if count is not None})
    if None not in known.values():
        return counts
    with again() as container:
        for number, packet in enumerate(container.demux()):
            counts[packet.stream.index] += bool(packet.size) and known.get(packet.stream.index, 0) is None
            if number > PEEK_PACKETS or all(counts[stream.index] > 1 for stream in videos):
                break
    return counts


def _rank(stream: Any, counts: Counter[int]) -> tuple[bool, int, bool, int]:
    from av.stream import Disposition

    pixels = stream.codec_context.width * stream.codec_context.height
    return counts[stream.index] > 1, pixels, bool(stream.disposition & Disposition.default), -stream.index


def _order(stream: Any) -> tuple[bool, bool, int]:
    from av.stream import Disposition

    beside = (
        Disposition.comment | Disposition.descriptions | Disposition.visual_impaired | Disposition.dependent
    )
    is_silent = not stream.codec_context.sample_rate
    is_beside = is_silent or bool(stream.disposition & beside)
    return is_beside, not stream.disposition & Disposition.default, stream.index
