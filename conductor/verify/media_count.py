"""One pass over an opened media file: packets, pictures and samples, where each stream ends, whether all
is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from conductor.verify.media_streams import Chosen, indexed, is_decodable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

#: A file may end this much before what its header says: codecs pad, muxers round.
SLACK_S = 1.0
SLACK_SHARE = 0.02


class Tally:
    """`decodes`: of which streams every frame is made; `has_look`: else of the film the first."""

    def __init__(
        self, container: InputContainer, chosen: Chosen, decodes: Callable[[Any], bool], *, has_look: bool
    ) -> None:
        # What streams say is taken now: asked of a container that has been closed, they end the process.
        self._kinds = {stream.index: stream.type for stream in container.streams}
        self._indexed = {stream.index: indexed(stream) for stream in container.streams}
        self._said = {stream.index: said_end_s(stream) for stream in container.streams}
        self._decoded = {s.index for s in container.streams if is_decodable(s) and decodes(s)}
        self._film, self._sound, self._has_look = chosen.film, chosen.sound, has_look
        self._start_s = (container.start_time or 0) / 1_000_000
        self.declared_s = (container.duration or 0) / 1_000_000
        #: Stream → packets read; those that are shown; frames made of them.
        self._packets: Counter[int] = Counter()
        self._shown: Counter[int] = Counter()
        self._frames: Counter[int] = Counter()
        self._spans: dict[int, tuple[float, float]] = {}
        self.samples = 0
        #: Of the film: when its first key picture is shown, and what stands before it, which nobody can
        #: decode.
        self._key_pts: int | None = None
        self._before = 0
        #: The film's first picture, where it was looked at.
        self.first: Any = None

    @property
    def pictures(self) -> int:
        """Of the film: decoded where that was asked for, else its packets from the first key picture on."""
        if self._film is None:
            return 0
        if self._film in self._decoded:
            return self._frames[self._film]
        return self._shown[self._film] - (0 if self._key_pts is None else self._before)

    @property
    def is_empty(self) -> bool:
        return not sum(self._packets.values())

    def take(self, packet: Packet[Any]) -> str | None:
        """What is wrong with it, or nothing. Raises what PyAV raises on what it cannot decode."""
        index = packet.stream.index
        self._packets[index] += bool(packet.size)
        if index in self._decoded:
            return self._decode(packet, index)
        if self._has_look and index == self._film and self.first is None:
            self.first = next(iter(packet.decode()), None)
        if packet.size and not packet.is_discard:
            self._shown[index] += 1
            if index == self._film:
                self._note_key(packet)
            self._stretch(
                index, packet.dts if packet.pts is None else packet.pts, packet.duration, packet.time_base
            )
        return None

    def _note_key(self, packet: Packet[Any]) -> None:
        """A recording may begin anywhere; and behind its first key picture may come some that are shown
        before it.
        """
        if self._key_pts is None and packet.is_keyframe:
            self._key_pts = packet.pts
        elif self._key_pts is None or (packet.pts is not None and packet.pts < self._key_pts):
            self._before += 1

    def _decode(self, packet: Packet[Any], index: int) -> str | None:
        for frame in cast("list[Any]", packet.decode()):
            if getattr(frame, "is_corrupt", False):
                return f"does not decode: a broken frame at {frame.time or 0:.1f} s"
            self._frames[index] += 1
            self.samples += getattr(frame, "samples", 0) if index == self._sound else 0
            if index == self._film and self.first is None:
                self.first = frame
            if hasattr(frame, "pts"):
                self._stretch(index, frame.pts, frame.duration, frame.time_base)
        return None

    def _stretch(self, index: int, pts: int | None, duration: int | None, base: Any) -> None:
        """Count it, with the time it is shown, into its stream's span."""
        if pts is None or not base:
            return
        begin, end = float(pts * base), float((pts + (duration or 0)) * base)
        end = max(begin, min(end, self._said[index] or end))
        known = self._spans.get(index)
        self._spans[index] = (begin, end) if known is None else (min(known[0], begin), max(known[1], end))

    def end_s(self, index: int | None) -> float:
        """When a stream ends, in seconds from the file's start; 0 for one that is not there, or has no
        times.
        """
        return max(0.0, self._spans[index][1] - self._start_s) if index in self._spans else 0.0

    def begins_s(self, index: int | None) -> float:
        return max(0.0, self._spans[index][0] - self._start_s) if index in self._spans else 0.0

    def packets(self, index: int | None) -> int:
        """Of those that are shown."""
        return self._shown[index] if index is not None else 0

    def lasts_s(self) -> float:
        """From the first picture or sound to the last."""
        spans = [span for index, span in self._spans.items() if self._kinds[index] in ("video", "audio")]
        return max((end for _, end in spans), default=0.0) - min((begin for begin, _ in spans), default=0.0)

    def lacks(self) -> str | None:
        """What is not there. Readers end well on a file that breaks off: its index and its header are what
        tells.

        The header's length is that of the longest stream, be it subtitles: whichever reaches it, the file is
        whole."""
        found_s = max(map(self.end_s, self._spans), default=0.0)
        for index in (self._film, self._sound):
            wanted = None if index is None else self._indexed[index]
            if index is None or wanted is None:
                continue
            there = (self._packets if index in self._decoded else self._shown)[index]
            end_s, said_s = self.end_s(index), (self._said[index] or 0.0) - self._start_s
            # Parsers may put pieces of sound together: fewer of them that last as long are as good.
            if there < wanted and (index == self._film or _is_short(end_s, said_s)):
                what = "pictures" if index == self._film else "pieces of its sound"
                return (
                    f"breaks off at {end_s:.1f} s of {self.declared_s:.1f} s ({there} of {wanted} "
                    f"{what} are there)"
                )
        is_known = self._film is not None and self._indexed[self._film] is not None
        if not is_known and _is_short(found_s, self.declared_s):
            return f"breaks off at {found_s:.1f} s of {self.declared_s:.1f} s"
        return None


def _is_short(found_s: float, declared_s: float) -> bool:
    return declared_s - found_s > max(SLACK_S, declared_s * SLACK_SHARE)


def said_end_s(stream: Any) -> float | None:
    """When a stream ends by an index of all its packets, on its own clock; None where there is none.

    Of single packets such a file says how long it is until the next one is sent, and not how long each is
    shown."""
    if indexed(stream) is None or stream.duration is None:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
